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
