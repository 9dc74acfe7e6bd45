//! Bounds that an operator sets, reached: docs/bounds.md names what shows each.

use std::time::Duration;

use godwit_testkit::postgres;
use godwit_testkit::probe::Probe;
use godwit_testkit::proxy::Proxy;
use godwit_testkit::server::Options;
use godwit_testkit::wire::{self, Properties, Publish, Received, Value, Version, id};

use super::world::World;

/// How often to look again, not how long to wait.
const POLL: Duration = Duration::from_millis(20);

/// The value of a line of `/metrics`; 0: there is none.
async fn number(world: &World, name: &str) -> u64 {
    let text = world.server.ask("GET", "/metrics", "", None).await.text;
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.map_or(0, |value| value.trim().parse().expect("a whole number"))
}

/// What may be on its way to a client that confirms nothing.
#[tokio::test]
async fn deliveries_in_flight_are_bounded() {
    let options = Options::default()
        .with("GODWIT__LIMITS__INFLIGHT_DEFAULT", "3")
        .with("GODWIT__LIMITS__INFLIGHT_MAX", "5");
    let world = World::with(options).await;
    let mut witness = world.probe(Version::V5, "bob", "laptop").await;
    witness.subscribe("m/#").await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    for (version, most) in [(Version::V3, 3), (Version::V5, 5)] {
        let mut bob = world.probe(version, "bob", "phone").await;
        bob.acknowledge = false;
        bob.subscribe("m/#").await;
        for n in 0..8 {
            alice.publish(&world.c(), format!("{n}").as_bytes()).await;
            witness.recv().await;
        }
        bob.fence().await;
        assert_eq!(bob.left().len(), most, "{version:?}");
        bob.cut();
    }
}

/// What a client is told of its bounds at CONNACK.
#[tokio::test]
async fn aliases_and_session_expiry_are_bounded() {
    let options = Options::default()
        .with("GODWIT__LIMITS__TOPIC_ALIAS_MAX", "3")
        .with("GODWIT__LIMITS__SESSION_EXPIRY_MAX", "60s");
    let world = World::with(options).await;
    let hello = world.hello(Version::V5, "alice", "phone").await.kept();
    let (mut alice, welcome) = Probe::connect(&world.mqtt(), &hello).await;
    assert_eq!(welcome.properties.number(id::SESSION_EXPIRY), Some(60));
    assert_eq!(welcome.properties.number(id::TOPIC_ALIAS_MAX), Some(3));
    let alias = |alias| Properties::none().with(id::TOPIC_ALIAS, Value::Two(alias));
    let packet = alice.start_publish(&world.c(), b"named", alias(3)).await;
    assert_eq!(alice.answer(packet).await.code, 0);
    alice.start_publish(&world.c(), b"one too many", alias(4)).await;
    // [MQTT-3.3.2-9]: above the maximum is a protocol error with a code of its own.
    assert_eq!(alice.ended().await, Some(0x94));
}

#[tokio::test]
async fn retained_messages_are_bounded() {
    let options = Options::default().with("GODWIT__LIMITS__RETAINED_MAX", "2");
    let world = World::with(options).await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    for (topic, code) in [("a", 0), ("b", 0), ("c", 0x97), ("a", 0), ("c", 0x97)] {
        let publish = Publish {
            topic: format!("u/alice/{topic}"),
            payload: b"kept".to_vec(),
            qos: 1,
            retain: true,
            packet_id: alice.fresh_id(),
            ..Publish::default()
        };
        alice.write(&wire::publish(Version::V5, &publish)).await;
        let answer = alice.answer(publish.packet_id).await.code;
        // 0x10: nobody subscribes it.
        assert!(answer == code || (code == 0 && answer == 0x10), "{topic}: {answer:#x}");
    }
    let mut later = world.probe(Version::V5, "alice", "laptop").await;
    later.subscribe("u/alice/#").await;
    let mut kept = [later.recv().await.topic, later.recv().await.topic];
    kept.sort();
    assert_eq!(kept, ["u/alice/a", "u/alice/b"]);
    later.fence().await;
    assert!(later.left().is_empty());
}

#[tokio::test]
async fn connections_are_bounded_in_all_and_by_address() {
    for key in ["CONNECTIONS_MAX", "CONNECTIONS_PER_ADDRESS_MAX"] {
        let options = Options::default().with(&format!("GODWIT__LIMITS__{key}"), "2");
        let world = World::with(options).await;
        let _first = world.probe(Version::V5, "alice", "phone").await;
        let second = world.probe(Version::V3, "alice", "laptop").await;
        for (version, code) in [(Version::V3, 3), (Version::V5, 0x97)] {
            let hello = world.hello(version, "bob", "phone").await;
            let (_, welcome) = Probe::try_connect(&world.mqtt(), &hello).await;
            assert_eq!(welcome.code, code, "{key} {version:?}");
        }
        // A place that is free again is given.
        second.disconnect(0).await;
        let hello = world.hello(Version::V5, "bob", "phone").await;
        loop {
            let (_, welcome) = Probe::try_connect(&world.mqtt(), &hello).await;
            if welcome.code == 0 {
                break;
            }
            assert_eq!(welcome.code, 0x97);
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Whoever takes no bytes is cut, and the others never notice.
#[tokio::test]
async fn a_client_that_takes_no_bytes_is_cut() {
    let options = Options::default().with("GODWIT__LIMITS__WRITE_STALL_MAX", "1s");
    let world = World::with(options).await;
    let mut stopped = world.probe(Version::V5, "bob", "phone").await;
    stopped.subscribe("m/#").await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let body = vec![b'x'; 200_000];
    // More than both sockets' buffers take: they grow to some megabytes.
    for _ in 0..100 {
        assert_eq!(alice.publish(&world.c(), &body).await.code, 0);
    }
    while number(&world, "godwit_broker_ended_total{code=\"0x97\"} ").await == 0 {
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn sends_in_one_commit_are_bounded() {
    let options = Options::default().with("GODWIT__COMMIT__BATCH_SENDS_MAX", "4");
    let world = World::with(options).await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let mut waiting = Vec::new();
    for n in 0..60 {
        let topic = world.keyed(&format!("k{n}"));
        waiting.push(alice.start_publish(&topic, b"x", Properties::none()).await);
    }
    for packet in waiting {
        assert_eq!(alice.answer(packet).await.code, 0);
    }
    let all = number(&world, "godwit_commit_sends_count ").await;
    assert!(all >= 15, "{all}");
    assert_eq!(number(&world, "godwit_commit_sends_bucket{le=\"4\"} ").await, all);
}

/// What waits while the store is away is committed in batches of 4 MiB: sixteen of the largest bodies.
#[tokio::test]
async fn bytes_in_one_commit_are_bounded() {
    const SENDS: usize = 40;
    let database = postgres::empty();
    let proxy = Proxy::start(database.url());
    let world = World::through(&proxy, database, Options::default()).await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    assert_eq!(alice.publish(&world.c(), b"before").await.code, 0);
    proxy.freeze();
    let body = vec![b'x'; 262_144];
    let mut waiting = Vec::new();
    for n in 0..SENDS {
        let topic = world.keyed(&format!("k{n}"));
        waiting.push(alice.start_publish(&topic, &body, Properties::none()).await);
    }
    while number(&world, "godwit_commit_queue_sends ").await < SENDS as u64 {
        tokio::time::sleep(POLL).await;
    }
    proxy.pass();
    for packet in waiting {
        assert_eq!(alice.answer(packet).await.code, 0);
    }
    let of = async |le: &str| {
        number(&world, &format!("godwit_commit_sends_bucket{{le=\"{le}\"}} ")).await
    };
    assert_eq!(of("16").await, of("+Inf").await, "more than sixteen in one commit");
    assert!(of("16").await - of("8").await >= 2, "no full batch: {}", of("8").await);
}

/// A store that is away: so many sends and bytes wait, the others are told to, and after
/// `commit.hold_max` those that wait are given up by closing.
#[tokio::test]
async fn sends_that_wait_for_the_store_are_bounded() {
    let bodies = [("QUEUE_SENDS_MAX", "4", 10), ("QUEUE_BYTES_MAX", "300000", 100_000)];
    for (key, value, bytes) in bodies {
        let database = postgres::empty();
        let proxy = Proxy::start(database.url());
        let options = Options::default()
            .with("GODWIT__COMMIT__BATCH_SENDS_MAX", "4")
            .with(&format!("GODWIT__COMMIT__{key}"), value)
            .with("GODWIT__COMMIT__HOLD_MAX", "2s")
            .with("GODWIT__STORE__POSTGRES_TIMEOUT", "1s");
        let world = World::through(&proxy, database, options).await;
        let mut alice = world.probe(Version::V5, "alice", "phone").await;
        assert_eq!(alice.publish(&world.c(), b"before").await.code, 0);
        proxy.freeze();
        let body = vec![b'x'; bytes];
        for n in 0..40 {
            let topic = world.keyed(&format!("k{n}"));
            alice.start_publish(&topic, &body, Properties::none()).await;
        }
        // PUBACKs leave in order, so the first one waits for the store, and with it the refusals of
        // those behind it; they are counted when they are made.
        while number(&world, "godwit_sends_total{fate=\"throttled\"} ").await < 30 {
            tokio::time::sleep(POLL).await;
        }
        assert!(number(&world, "godwit_commit_queue_sends ").await <= 4);
        let accepted = loop {
            match alice.next().await {
                Received::Disconnect { .. } | Received::Closed => break false,
                Received::PubAck { code: 0, .. } => break true,
                _ => {}
            }
        };
        assert!(!accepted, "nothing was committed, and {key} let a PUBACK out");
        proxy.pass();
    }
}

/// Publishes beyond a rate in bytes are told to wait. (Of 3.1.1, which cannot be told, the next
/// packets are read later: `limits::a_device_has_a_rate_of_its_own`.)
#[tokio::test]
async fn bytes_in_a_second_are_bounded() {
    let options = Options::default().with("GODWIT__LIMITS__PUBLISH_BYTES_PER_S", "20000");
    let world = World::with(options).await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let mut waiting = Vec::new();
    for n in 0..10 {
        let topic = world.keyed(&format!("k{n}"));
        waiting.push(alice.start_publish(&topic, &[b'x'; 5000], Properties::none()).await);
    }
    let mut refused = 0;
    for packet in waiting {
        let answer = alice.answer(packet).await;
        refused += usize::from(answer.code == 0x97);
        assert!(answer.code == 0 || answer.properties.user("retry_after_ms").is_some());
    }
    assert!(refused >= 3, "{refused} refused of 50,000 bytes at once");
}
