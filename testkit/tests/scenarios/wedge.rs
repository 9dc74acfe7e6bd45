//! What one client does to its own session stops nobody else: changes of subscriptions under way,
//! takeovers in the middle of them, connections cut anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use godwit_testkit::probe::Probe;
use godwit_testkit::wire::{self, Connect, Version};
use godwit_testkit::within;

use super::world::{BOTH, World};

on_both_stores!(a_takeover_in_the_middle_of_a_subscribe, a_storm_of_takeovers_stops_nobody);

/// A SUBSCRIBE of `filter` with QoS 1.
fn subscribe(version: Version, filter: &str) -> Vec<u8> {
    wire::subscribe(version, 1, &[(filter, 1)])
}

/// One acknowledged send of alice's, within the harness's patience.
async fn send(world: &World, alice: &mut Probe, body: &str) {
    let topic = world.c();
    let answer = within("a send that nobody may stop", alice.publish(&topic, body.as_bytes()));
    assert_eq!(answer.await.code, 0);
}

async fn a_takeover_in_the_middle_of_a_subscribe(world: World) {
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    for version in BOTH {
        let hello = world.hello(version, "bob", "phone").await.kept();
        for round in 0..10 {
            let (mut old, _) = Probe::connect(&world.mqtt(), &hello).await;
            old.write(&subscribe(version, "m/#")).await;
            let (new, _) = Probe::connect(&world.mqtt(), &hello).await;
            send(&world, &mut alice, &format!("round {round}")).await;
            drop((old, new));
        }
    }
    // And the session is what its last SUBSCRIBE made of it.
    let (mut bob, _) = world.kept(Version::V5, "bob", "phone").await;
    bob.subscribe("m/#").await;
    send(&world, &mut alice, "to the last").await;
    bob.recv().await;
    let (mut bob, present) = world.kept(Version::V5, "bob", "phone").await;
    assert!(present);
    bob.fence().await;
}

/// How long the storm lasts: `GODWIT_TEST_STORM_S` seconds, 8 by default, so that a whole run stays
/// short. A release is tried with 60.
fn storm() -> Duration {
    let asked = std::env::var("GODWIT_TEST_STORM_S").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(asked.unwrap_or(8))
}

/// Clients that take over each other, and the devices that they fight for.
const CLIENTS: usize = 50;
const DEVICES: usize = 8;

/// A small generator of numbers: its seed is in the assertion, so that a run can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }
}

/// Takes one device after the other, changes its subscriptions, and leaves as it comes.
async fn fight(
    address: String,
    hellos: Arc<Vec<Connect>>,
    seed: u64,
    stop: Arc<AtomicBool>,
) -> u32 {
    const FILTERS: [&str; 4] = ["m/#", "a", "u/+/x", "q/#"];
    let mut dice = Dice(seed);
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        let hello = &hellos[dice.roll(hellos.len())];
        let mut probe = Probe::open(&address, hello.version).await;
        probe.write(&wire::connect(hello)).await;
        // Not always does it wait for the CONNACK.
        if dice.roll(4) > 0 {
            probe.next().await;
        }
        for _ in 0..dice.roll(3) {
            let filter = FILTERS[dice.roll(FILTERS.len())];
            probe.write(&subscribe(hello.version, filter)).await;
        }
        match dice.roll(4) {
            0 => probe.cut(),
            1 => probe.write(&wire::disconnect(hello.version, 0)).await,
            2 => drop(tokio::time::timeout(Duration::from_millis(20), probe.next()).await),
            _ => {}
        }
        rounds += 1;
    }
    rounds
}

async fn a_storm_of_takeovers_stops_nobody(world: World) {
    let mut hellos = Vec::new();
    for device in 0..DEVICES {
        let version = BOTH[device % 2];
        hellos.push(world.hello(version, "bob", &format!("d{device}")).await.kept());
    }
    let hellos = Arc::new(hellos);
    let stop = Arc::new(AtomicBool::new(false));
    let fighters: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (address, hellos) = (world.mqtt(), Arc::clone(&hellos));
            tokio::spawn(fight(address, hellos, n as u64 + 1, Arc::clone(&stop)))
        })
        .collect();
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < storm() {
        let before = Instant::now();
        send(&world, &mut alice, &format!("{}", times.len())).await;
        times.push(before.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    let mut rounds = 0;
    for fighter in fighters {
        rounds += within("a fighter's end", fighter).await.expect("no panic");
    }
    times.sort_unstable();
    let (sent, slowest) = (times.len(), times[times.len() - 1]);
    let at = |percent: usize| times[(sent * percent).div_ceil(100).max(1) - 1];
    eprintln!(
        "{rounds} takeovers in {:?}, {sent} sends, p50 {:?}, p99 {:?}, at most {slowest:?}",
        storm(),
        at(50),
        at(99)
    );
    assert!(sent >= 20 && rounds >= 100, "{sent} sends, {rounds} takeovers");
    // A debug build on two cores that others use too: what matters is that none waits for a lock.
    assert!(slowest < Duration::from_secs(5), "{slowest:?} for one of {sent} sends");
    // Every device can be had, and REST writes.
    for hello in hellos.iter() {
        let (mut probe, _) = Probe::connect(&world.mqtt(), hello).await;
        probe.fence().await;
    }
    world.server.create("direct", &["carol", "dave"]).await;
}
