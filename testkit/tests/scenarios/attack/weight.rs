//! Everything that a client sends costs from one budget, by its weight.

use std::time::Duration;

use godwit_testkit::probe::Probe;
use godwit_testkit::server::Options;
use godwit_testkit::wire::{self, Properties, Publish, Received, Version};

use super::others;
use crate::scenarios::world::World;

/// A second's worth in these scenarios.
const RATE: usize = 1000;
/// How long it is gone on with.
const SPAN: Duration = Duration::from_secs(3);
/// The others' median meanwhile, in a debug build.
const MEDIAN_MAX: Duration = Duration::from_millis(250);

fn held() -> Options {
    Options::default().with("GODWIT__LIMITS__PUBLISHES_PER_S", &RATE.to_string())
}

/// Sends the same for a while; how many packets came back.
async fn flood(probe: &mut Probe, bytes: &[u8]) -> usize {
    let mut count = 0;
    let each = |packet: &Received| {
        assert_ne!(*packet, Received::Closed, "cut");
        count += 1;
    };
    probe.flood(bytes, SPAN, each).await;
    count
}

#[tokio::test]
async fn pings_are_metered() {
    let world = World::with(held()).await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let pings = wire::pingreq().repeat(1000);
    let (count, median) = others(&world, flood(&mut alice, &pings)).await;
    // A burst of a second, and a second's worth for each second; half as much again for what a
    // loaded machine does to the clock.
    assert!(count < RATE * 6, "{count} answers in {SPAN:?} at {RATE}/s");
    assert!(median < MEDIAN_MAX, "the others' median was {median:?}");
}

#[tokio::test]
async fn forbidden_publishes_are_metered() {
    let world = World::with(held()).await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let forbidden = Publish {
        topic: "forbidden/topic".to_owned(),
        payload: b"x".to_vec(),
        properties: Properties::none(),
        ..Publish::default()
    };
    let many = wire::publish(Version::V5, &forbidden).repeat(1000);
    let before = received(&world).await;
    let (_, median) = others(&world, flood(&mut alice, &many)).await;
    let count = received(&world).await - before;
    assert!(count < (RATE * 12) as f64, "{count} were looked at in {SPAN:?} at {RATE}/s");
    assert!(median < MEDIAN_MAX, "the others' median was {median:?}");
}

/// Publishes that the broker has looked at.
async fn received(world: &World) -> f64 {
    let text = world.server.caller("").get("/metrics").await.text;
    let mut lines = text.lines().filter_map(|l| l.strip_prefix("godwit_broker_received_total "));
    lines.next().and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// Wildcards over thousands of retained messages, again and again, delay nobody.
#[tokio::test]
async fn wildcards_over_retained_are_metered() {
    let options = Options::default()
        .with("GODWIT__LIMITS__PUBLISHES_PER_S", "10000")
        .with("GODWIT__LIMITS__RETAINED_PER_USER_MAX", "10000");
    let world = World::with(options).await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    retain(&mut alice, 3000).await;
    let filters: Vec<_> = (0..64).map(|n| format!("u/alice/+/+/none{n}/#")).collect();
    let filters: Vec<_> = filters.iter().map(|filter| (&**filter, 1)).collect();
    let many = wire::subscribe(Version::V5, 7, &filters).repeat(20);
    let (_, median) = others(&world, flood(&mut alice, &many)).await;
    assert!(median < MEDIAN_MAX, "the others' median was {median:?}");
}

async fn retain(alice: &mut Probe, count: usize) {
    let mut answered = 0;
    for n in 0..count {
        let publish = Publish {
            topic: format!("u/alice/room{}/sensor{n}", n % 10),
            payload: n.to_string().into_bytes(),
            qos: 1,
            retain: true,
            packet_id: alice.fresh_id(),
            ..Publish::default()
        };
        alice.write(&wire::publish(Version::V5, &publish)).await;
        while n + 1 - answered >= 60 || (n + 1 == count && answered < count) {
            match alice.next().await {
                Received::PubAck { code, .. } => {
                    assert!(code < 0x80, "{code:#x}");
                    answered += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// One user cannot fill the memory with retained messages, nor keep others from having some.
#[tokio::test]
async fn retained_messages_of_a_user_are_bounded_in_bytes() {
    let world = World::new().await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let mut bob = world.probe(Version::V5, "bob", "phone").await;
    let body = vec![b'x'; 900_000];
    let before = world.server.resident();
    let mut codes = Vec::new();
    for n in 0..40 {
        codes.push(keep(&mut alice, &format!("u/alice/{n}"), &body).await);
    }
    let kept = codes.iter().filter(|code| **code < 0x80).count();
    assert!((5..=10).contains(&kept), "{kept} of 900 kB are kept");
    assert!(codes.iter().all(|code| *code < 0x80 || *code == 0x97), "{codes:x?}");
    let growth = world.server.resident().saturating_sub(before);
    assert!(growth < 24 << 20, "{} MiB more", growth >> 20);
    assert!(keep(&mut bob, "u/bob/0", &body).await < 0x80);
    // Room is made by forgetting.
    assert!(keep(&mut alice, "u/alice/0", b"").await < 0x80);
    assert!(keep(&mut alice, "u/alice/new", &body).await < 0x80);
}

/// Publishes with the retain flag; the code of the PUBACK.
async fn keep(probe: &mut Probe, topic: &str, payload: &[u8]) -> u8 {
    let packet_id = probe.fresh_id();
    let publish = Publish {
        topic: topic.to_owned(),
        payload: payload.to_vec(),
        qos: 1,
        retain: true,
        packet_id,
        ..Publish::default()
    };
    probe.write(&wire::publish(Version::V5, &publish)).await;
    probe.answer(packet_id).await.code
}
