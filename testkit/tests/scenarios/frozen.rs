//! A Postgres that stands still with all its connections: nobody is left mute. Whoever is cut is told
//! so at once, and whoever comes back is answered at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use godwit_testkit::postgres::PostgresServer;
use godwit_testkit::probe::Probe;
use godwit_testkit::server::Options;
use godwit_testkit::wire::{self, Properties, Version};

use super::payload;
use super::world::{BOTH, World};

/// Sends wait so long. The first try of a commit ends with the store's own bound, 10 s.
const HOLD_MAX: Duration = Duration::from_secs(10);

/// What "at once" may take on a loaded machine. The kept CONNECT waits 3 s for the store.
const AT_ONCE: Duration = Duration::from_secs(5);

struct Frozen {
    world: World,
    postgres: Arc<PostgresServer>,
}

impl Frozen {
    async fn new() -> Self {
        let postgres = Arc::new(PostgresServer::start());
        let options = Options::default().with("GODWIT__COMMIT__HOLD_MAX", "10s");
        let world = World::on_database(postgres.empty(), options).await;
        Self { world, postgres }
    }

    /// Connects a kept session and gives the CONNACK's code, which must come at once.
    async fn back(&self, version: Version) -> (Probe, u8) {
        let hello = self.world.hello(version, "bob", "phone").await.kept();
        let start = Instant::now();
        let (probe, welcome) = Probe::try_connect(&self.world.mqtt(), &hello).await;
        assert!(start.elapsed() < AT_ONCE, "{version:?}: a CONNACK after {:?}", start.elapsed());
        (probe, welcome.code)
    }
}

impl Drop for Frozen {
    /// Also after a failure: the database is removed at the end, which a frozen server would not do.
    fn drop(&mut self) {
        self.postgres.thaw();
    }
}

#[tokio::test]
async fn whoever_is_cut_is_told_and_may_come_back_at_once() {
    for version in BOTH {
        let frozen = Frozen::new().await;
        let (mut bob, _) = frozen.world.kept(version, "bob", "phone").await;
        bob.subscribe("m/#").await;
        frozen.postgres.freeze();
        // A change of the session, and a send, that the store does not answer.
        bob.write(&wire::subscribe(version, 9, &[("a", 1)])).await;
        let start = Instant::now();
        // Another connection of the device: the old one ends now, not when the store is back.
        let busy = if version == Version::V5 { 0x97 } else { 3 };
        let (_refused, code) = frozen.back(version).await;
        assert_eq!(code, busy);
        assert_eq!(bob.ended().await, (version == Version::V5).then_some(0x8E));
        assert!(start.elapsed() < AT_ONCE * 2, "EOF after {:?}", start.elapsed());
        // Again and again: none waits behind the one before.
        for _ in 0..3 {
            assert_eq!(frozen.back(version).await.1, busy);
        }
        // A clean session needs no store.
        let start = Instant::now();
        let mut clean = frozen.world.probe(version, "carol", "phone").await;
        clean.fence().await;
        assert!(start.elapsed() < AT_ONCE);
        frozen.postgres.thaw();
        // The session is there, and what the device is sent comes.
        let (mut bob, present) = godwit_testkit::until("the store's return", async || {
            let (probe, code) = frozen.back(version).await;
            (code == 0).then_some((probe, true))
        })
        .await;
        assert!(present);
        let mut alice = frozen.world.probe(Version::V5, "alice", "phone").await;
        assert_eq!(alice.publish(&frozen.world.c(), b"thawed").await.code, 0);
        assert_eq!(payload::entry(&bob.recv_on("m/").await.payload).body.as_ref(), b"thawed");
    }
}

/// Whoever watches the server is not kept waiting by a store that says nothing (its own bound is 5 s).
#[tokio::test]
async fn readiness_waits_a_second_for_the_store() {
    let frozen = Frozen::new().await;
    frozen.postgres.freeze();
    godwit_testkit::until("/readyz says 503", async || {
        let start = Instant::now();
        let reply = frozen.world.server.ask("GET", "/readyz", "", None).await;
        let took = start.elapsed();
        assert!(took < Duration::from_secs(4), "an answer after {took:?}");
        if reply.status == 200 {
            return None;
        }
        let found = reply.expect(503);
        for part in ["store", "reads"] {
            let reason = found["parts"][part]["reason"].as_str().unwrap_or_default();
            assert!(reason.contains("not answered within a second"), "{found}");
        }
        assert!(took >= Duration::from_secs(1), "after {took:?}");
        Some(())
    })
    .await;
    frozen.postgres.thaw();
}

#[tokio::test]
async fn a_send_that_is_held_too_long_ends_the_connection() {
    let frozen = Frozen::new().await;
    let (mut bob, _) = frozen.world.kept(Version::V5, "bob", "phone").await;
    bob.subscribe("m/#").await;
    frozen.postgres.freeze();
    let start = Instant::now();
    bob.start_publish(&frozen.world.keyed("k"), b"held", Properties::none()).await;
    assert_eq!(bob.ended().await, Some(0x89));
    let took = start.elapsed();
    assert!(took < HOLD_MAX + Duration::from_secs(2), "EOF after {took:?}");
    let (_refused, code) = frozen.back(Version::V5).await;
    assert_eq!(code, 0x97);
    frozen.postgres.thaw();
}
