//! What an operator sees: who was refused and who has left, and the numbers.

use std::time::Duration;

use godwit_testkit::probe::{self, Probe};
use godwit_testkit::rest;
use godwit_testkit::server::{Godwit, Options};
use godwit_testkit::wire::Version;
use tokio::task::JoinSet;

use super::payload;
use super::world::{BOTH, Backend, World};

/// A well-formed id of no conversation.
const NOWHERE: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// How often to look again, not how long to wait.
const POLL: Duration = Duration::from_millis(20);

/// The first line of the log with all these parts. The test's own time limit ends a wait in vain.
async fn line(server: &Godwit, parts: &[&str]) -> String {
    loop {
        let log = server.log();
        let found = log.lines().find(|line| parts.iter().all(|part| line.contains(part)));
        if let Some(line) = found {
            return line.to_owned();
        }
        tokio::time::sleep(POLL).await;
    }
}

/// `/metrics`, once it has all these parts.
async fn metrics(server: &Godwit, parts: &[&str]) -> String {
    loop {
        let text = server.ask("GET", "/metrics", "", None).await.text;
        if parts.iter().all(|part| text.contains(part)) {
            return text;
        }
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn refusals_and_endings_name_address_user_device_and_reason() {
    let world = World::new().await;
    for version in BOTH {
        let secret = format!("{}.payload.signature-of-nobody", "x".repeat(40));
        let user = format!("mallory\nlevel=error {version:?}");
        let hello = probe::connect(version, &user, "phone", &secret);
        let (_, welcome) = Probe::try_connect(&world.mqtt(), &hello).await;
        assert_ne!(welcome.code, 0);
        let escaped = format!("mallory\\nlevel=error {version:?}:phone");
        let said = line(&world.server, &["INFO", "refused", &escaped]).await;
        for part in ["peer.address=127.0.0.1:", "code=0x87", "the client id must be"] {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
        let mut alice = world.probe(version, "alice", "tablet").await;
        alice.fence().await;
        alice.disconnect(0).await;
        let left = "the client disconnected";
        let said = line(&world.server, &["INFO", "connection ended", left, "tablet"]).await;
        for part in ["peer.address=127.0.0.1:", "user.id=alice", "device.id=tablet"] {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
        assert!(!world.server.log().contains(&secret), "a token in the log");
    }
    // A token that is none.
    let hello = probe::connect(Version::V5, "bob", "phone", "no-token-at-all");
    let (_, welcome) = Probe::try_connect(&world.mqtt(), &hello).await;
    assert_eq!(welcome.code, 0x86);
    line(&world.server, &["INFO", "refused", "client.id=bob:phone", "code=0x86"]).await;
    assert!(!world.server.log().contains("no-token-at-all"));
    metrics(&world.server, &["godwit_broker_authentication_failures_total{code=\"0x86\"} 1"]).await;
}

#[tokio::test]
async fn a_send_with_qos_0_that_is_not_stored_is_told() {
    let world = World::new().await;
    for version in BOTH {
        let mut mallory = world.probe(version, "mallory", &format!("{version:?}")).await;
        mallory.subscribe("a").await;
        for _ in 0..3 {
            mallory.publish_qos0(&world.c(), b"heard by nobody").await;
            let fate = payload::fates(&mallory.recv().await).remove(0);
            assert_eq!(fate.code, 0x87);
            assert_eq!(fate.conversation_id, payload::cid_bytes(&world.cid));
        }
        mallory.publish_qos0(&format!("s/{NOWHERE}"), b"\xff").await;
        assert_eq!(payload::fates(&mallory.recv().await)[0].code, 0x99);
        let device = format!("device.id={version:?}");
        let parts = ["INFO", "QoS 0 was not stored", "user.id=mallory", &device];
        let said = line(&world.server, &parts).await;
        assert!(said.contains("fate=\"forbidden\"") && said.contains("code=0x87"), "{said}");
        mallory.fence().await;
        let log = world.server.log();
        let said = log.lines().filter(|l| l.contains("QoS 0 was not") && l.contains(&device));
        assert_eq!(said.count(), 1, "once a connection");
    }
    // One that is stored is nobody's loss.
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    alice.subscribe("a").await;
    alice.publish_qos0(&world.c(), b"heard").await;
    assert_eq!(payload::fates(&alice.recv().await)[0].code, 0);
    let text = metrics(
        &world.server,
        &[
            "godwit_qos_0_lost_total{fate=\"forbidden\"} 6",
            "godwit_qos_0_lost_total{fate=\"malformed\"} 2",
        ],
    )
    .await;
    assert!(!text.contains("godwit_qos_0_lost_total{fate=\"accepted\"}"), "{text}");
}

/// Every number that the guide for operators promises is there after a message and its way.
#[tokio::test]
async fn the_numbers_of_the_guide_are_there() {
    let world = World::new().await;
    let (mut bob, _) = world.kept(Version::V5, "bob", "phone").await;
    bob.subscribe("m/#").await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    alice.publish(&world.c(), b"hello").await;
    bob.recv().await;
    bob.fence().await;
    bob.cut();
    let (_bob, resumed) = world.kept(Version::V5, "bob", "phone").await;
    assert!(resumed);
    let parts = [
        "godwit_broker_connects_total{session=\"resumed\"} 1",
        "godwit_broker_connect_seconds_count",
        "godwit_broker_puback_seconds_count",
        "godwit_broker_confirm_seconds_count",
        "godwit_broker_queue_deliveries",
        "godwit_broker_queue_bytes",
        "godwit_broker_queue_longest_deliveries",
        "godwit_stage_seconds_count{stage=\"queue\"}",
        "godwit_stage_seconds_count{stage=\"commit\"}",
        "godwit_stage_seconds_count{stage=\"ack\"}",
        "godwit_stage_seconds_count{stage=\"route\"}",
        "godwit_outbox_oldest_age_seconds",
        "godwit_store_connections{pool=\"commits\",state=\"idle\"} 1",
        "godwit_store_waiting_operations{pool=\"others\"} 0",
        "godwit_store_waits_total{pool=\"readers\",result=\"failed\"} 0",
        "godwit_store_waited_milliseconds_total{pool=\"readers\"}",
        "godwit_store_wait_longest_seconds{pool=\"commits\"}",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_threads",
    ];
    let text = metrics(&world.server, &parts).await;
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = name.split(' ').next().expect("a name");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
}

/// A table that somebody has locked: who reads it, and who waits for those, is seen by pool.
#[tokio::test]
async fn the_use_of_the_stores_connections_is_told() {
    // Beyond the time between two looks at the pools.
    let options = Options::default()
        .with("GODWIT__STORE__POSTGRES_TIMEOUT", "60s")
        .with("GODWIT__STORE__POSTGRES_CONNECTIONS_MAX", "8");
    let world = World::on_with(Backend::Postgres, options).await;
    let mut session = world.database().session();
    session.ask("BEGIN; LOCK TABLE conversations IN ACCESS EXCLUSIVE MODE; SELECT 1");
    let url = format!("http://{}", world.server.address("http"));
    let mut reading = JoinSet::new();
    for _ in 0..7 {
        let (url, admin) = (url.clone(), world.server.admin().to_owned());
        let path = format!("/v1/conversations/{}", world.cid);
        reading.spawn(async move { rest::ask(&url, "GET", &path, &admin, None).await.status });
    }
    // Half of eight read.
    let parts = [
        "godwit_store_connections{pool=\"readers\",state=\"used\"} 4",
        "godwit_store_connections{pool=\"changes\",state=\"used\"} 0",
        "godwit_store_waiting_operations{pool=\"readers\"} 3",
        "godwit_store_waiting_operations{pool=\"commits\"} 0",
    ];
    metrics(&world.server, &parts).await;
    session.ask("COMMIT; SELECT 1");
    assert_eq!(reading.join_all().await, [200; 7]);
    let parts = [
        "godwit_store_connections{pool=\"readers\",state=\"idle\"} 4",
        "godwit_store_waiting_operations{pool=\"readers\"} 0",
        "godwit_store_waits_total{pool=\"readers\",result=\"failed\"} 0",
    ];
    metrics(&world.server, &parts).await;
}
