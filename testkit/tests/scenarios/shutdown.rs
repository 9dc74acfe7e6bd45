//! An orderly end: clients are told, what was acknowledged is there, and it is quick.

use std::time::Duration;

use godwit_proto::conversation::v1::Control;
use godwit_proto::conversation::v1::control::Kind;
use godwit_testkit::wire::{Properties, Received, Version};
use prost::Message as _;

use super::payload;
use super::world::{BOTH, World};

on_both_stores!(it_tells_its_clients_and_keeps_what_it_acknowledged);

async fn it_tells_its_clients_and_keeps_what_it_acknowledged(mut world: World) {
    let (mut bob, _) = world.kept(Version::V5, "bob", "phone").await;
    bob.subscribe("m/#").await;
    let mut three = world.probe(Version::V3, "bob", "old-phone").await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    for n in 0..30 {
        let payload = payload::send(&format!("k{n}"), b"x");
        alice.start_publish(&world.s(), &payload, Properties::none()).await;
    }
    world.server.terminate().await;
    let (mut acknowledged, mut farewell) = (0_u64, None);
    loop {
        match alice.next().await {
            Received::PubAck { code: 0, .. } => acknowledged += 1,
            Received::Disconnect { code, .. } => farewell = Some(code),
            Received::Closed => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(farewell, Some(0x8B | 0x9C)), "{farewell:?}");
    assert!(matches!(bob.ended().await, Some(0x8B | 0x9C)));
    assert_eq!(three.ended().await, None);
    world.server.wait_end().await;
    assert!(!world.server.data().join("dev.json").exists(), "dev.json says that it runs");
    world.server.restart().await;
    let (mut bob, present) = world.kept(Version::V5, "bob", "phone").await;
    assert!(present);
    // bob may have had some before the end; the last place tells how many there are.
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let answer = alice.publish(&world.c(), b"marker").await;
    let head: u64 = answer.properties.user("seq").and_then(|s| s.parse().ok()).expect("a place");
    assert!(head > acknowledged, "{acknowledged} acknowledged, but the log has {}", head - 1);
    loop {
        if payload::entry(&bob.recv().await.payload).body.as_ref() == b"marker" {
            break;
        }
    }
}

/// Every device that wants `x` reads when to come back before its connection ends, each at another time.
#[tokio::test]
async fn devices_are_told_when_to_come_back() {
    let mut world = World::new().await;
    let (mut devices, mut quiet) = (Vec::new(), Vec::new());
    for n in 0..20 {
        let version = BOTH[n % 2];
        let mut device = world.probe(version, "alice", &format!("d{n}")).await;
        device.subscribe(["x", "#", "x/#"][n % 3]).await;
        devices.push(device);
        let mut other = world.probe(version, "bob", &format!("q{n}")).await;
        other.subscribe("m/#").await;
        quiet.push(other);
    }
    world.server.terminate().await;
    let mut times = Vec::new();
    for device in &mut devices {
        let told = device.recv_at("x").await;
        let told = Control::decode(told.payload.as_slice()).expect("godwit...Control");
        assert_eq!(told.kind(), Kind::Drain);
        times.push(told.retry_after_ms);
        let farewell = device.ended().await;
        match device.version() {
            Version::V3 => assert_eq!(farewell, None),
            Version::V5 => assert!(matches!(farewell, Some(0x8B | 0x9C)), "{farewell:?}"),
        }
    }
    times.sort_unstable();
    assert!(times[0] >= 500 && times[19] < 2000, "{times:?}");
    times.dedup();
    assert_eq!(times.len(), 20, "{times:?}");
    for device in &mut quiet {
        device.ended().await;
        assert_eq!(device.left(), Vec::<String>::new());
    }
    world.server.wait_end().await;
}

#[tokio::test]
async fn it_is_quick_with_silent_and_stopped_clients() {
    let mut world = World::new().await;
    let silent = godwit_testkit::probe::Probe::open(&world.mqtt(), Version::V3).await;
    let mut idle = Vec::new();
    for n in 0..20 {
        idle.push(world.probe(Version::V5, "alice", &format!("d{n}")).await);
    }
    // Nobody of them reads.
    let took = world.server.stop().await;
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    drop((silent, idle));
}
