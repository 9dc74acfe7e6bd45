//! A subscriber that stops reading costs bounded memory and delays nobody.

use std::time::{Duration, Instant};

use godwit_testkit::probe::Probe;
use godwit_testkit::server::Options;
use godwit_testkit::wire::{Properties, Received, Version};

use super::payload;
use super::world::World;

/// Messages that flow past the stopped subscriber.
const MESSAGES: u64 = 50_000;
/// Bytes of each body.
const BODY: usize = 200;
/// What the server may keep for it: its queue (1 MiB by default), the kernel's buffers, and what an
/// allocator holds back, with room; far below the 10 MB of bodies and their 50,000 deliveries.
const GROWTH_MAX: u64 = 48 * 1024 * 1024;
/// The other pair's median may not be worse than this while it happens (debug build, two cores).
const OTHERS_MEDIAN_MAX: Duration = Duration::from_millis(250);

/// Sends all messages with a full window; nothing is awaited but PUBACKs.
async fn flood(alice: &mut Probe, topic: &str) {
    let body = vec![b'x'; BODY];
    let (mut sent, mut acknowledged) = (0, 0);
    while acknowledged < MESSAGES {
        while sent < MESSAGES && sent - acknowledged < 60 {
            alice.start_publish(topic, &body, Properties::none()).await;
            sent += 1;
        }
        match alice.next().await {
            Received::PubAck { code: 0, .. } => acknowledged += 1,
            other => panic!("{other:?} after {acknowledged}"),
        }
    }
}

/// Sends to and fro until told to stop; gives each round's time.
async fn others(world: &World, mut stop: tokio::sync::oneshot::Receiver<()>) -> Vec<Duration> {
    let cid = world.server.create("direct", &["carol", "dave"]).await;
    let mut carol = world.probe(Version::V5, "carol", "phone").await;
    let mut dave = world.probe(Version::V5, "dave", "phone").await;
    dave.subscribe("m/#").await;
    let mut rounds = Vec::new();
    while stop.try_recv().is_err() {
        let start = Instant::now();
        assert_eq!(carol.publish(&format!("c/{cid}"), b"how are you").await.code, 0);
        dave.recv().await;
        rounds.push(start.elapsed());
    }
    rounds
}

#[tokio::test]
async fn a_stopped_subscriber_costs_a_bounded_price() {
    // A fast machine sends more in a second than one user may.
    let options = Options::default()
        .with("GODWIT__LIMITS__PUBLISHES_PER_S", "0")
        .with("GODWIT__LIMITS__USER_SENDS_PER_S", "0")
        .with("GODWIT__LIMITS__CONVERSATION_SENDS_PER_S", "0");
    let world = World::with(options).await;
    let (mut bob, _) = world.kept(Version::V5, "bob", "phone").await;
    bob.subscribe("m/#").await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    alice.publish(&world.c(), b"warm").await;
    let before = world.server.resident();
    let (done, stop) = tokio::sync::oneshot::channel();
    let flooding = async {
        flood(&mut alice, &world.c()).await;
        let _ = done.send(());
    };
    let ((), mut rounds) = tokio::join!(flooding, others(&world, stop));
    let growth = world.server.resident().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{} KiB more for one stopped subscriber", growth / 1024);
    rounds.sort_unstable();
    let median = rounds[rounds.len() / 2];
    assert!(rounds.len() >= 20, "the others got {} rounds", rounds.len());
    assert!(median < OTHERS_MEDIAN_MAX, "the others' median was {median:?}");
    resync(&world, bob).await;
}

/// Reads on from where bob stopped, over as many connections as it takes.
async fn resync(world: &World, mut bob: Probe) {
    let mut seen = 0;
    while seen < MESSAGES + 1 {
        match bob.next().await {
            Received::Publish(publish) => {
                bob.write(&godwit_testkit::wire::puback(publish.packet_id)).await;
                let seq = payload::entry(&publish.payload).seq;
                // A connection that was cut may have taken acknowledgements with it.
                assert!(seq <= seen + 1, "a gap before {seq}, after {seen}");
                seen = seen.max(seq);
            }
            Received::Disconnect { .. } => {}
            Received::Closed => {
                let (again, present) = world.kept(Version::V5, "bob", "phone").await;
                assert!(present, "the session outlives being cut");
                bob = again;
            }
            other => panic!("{other:?}"),
        }
    }
}
