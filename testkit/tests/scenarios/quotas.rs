//! What one user may have at the broker over all devices, and what happens beyond it.

use godwit_testkit::probe::Probe;
use godwit_testkit::server::Options;
use godwit_testkit::wire::{self, Publish, Version};

use super::world::{BOTH, World};

/// Beyond the bound a device is told to come later; one that comes again takes its own place; and
/// whoever leaves makes room.
#[tokio::test]
async fn devices_of_a_user_are_bounded() {
    let world =
        World::with(Options::default().with("GODWIT__LIMITS__DEVICES_PER_USER_MAX", "2")).await;
    let first = world.probe(Version::V5, "alice", "one").await;
    let second = world.probe(Version::V3, "alice", "two").await;
    for version in BOTH {
        let hello = world.hello(version, "alice", "three").await.kept();
        let (mut probe, welcome) = Probe::try_connect(&world.mqtt(), &hello).await;
        let code = if version == Version::V5 { 0x97 } else { 3 };
        assert_eq!(welcome.code, code, "{welcome:?}");
        if version == Version::V5 {
            assert_eq!(welcome.properties.user("retry_after_ms"), Some("5000"));
        }
        probe.ended().await;
        // Another user is not held back, and a takeover is no further device.
        world.probe(version, "bob", "phone").await.disconnect(0).await;
    }
    let mut again = world.probe(Version::V5, "alice", "two").await;
    drop((first, second));
    again.fence().await;
    // The one that was dropped has left as soon as the server has seen it.
    let hello = world.hello(Version::V5, "alice", "three").await.kept();
    let (third, welcome) = godwit_testkit::until("a place among the devices", async || {
        let (probe, welcome) = Probe::try_connect(&world.mqtt(), &hello).await;
        (welcome.code == 0).then_some((probe, welcome))
    })
    .await;
    assert!(!welcome.present, "a refused device keeps nothing");
    third.disconnect(0).await;
}

/// What waits for absent devices is bounded for a user and for all: the longest queue gives way, with
/// its oldest, and says so; whoever is there misses nothing.
#[tokio::test]
async fn what_waits_is_bounded_for_a_user_and_for_all() {
    const BODY: usize = 100_000;
    let options = Options::default()
        .with("GODWIT__LIMITS__OFFLINE_BYTES_MAX", "1000000")
        .with("GODWIT__LIMITS__OFFLINE_PER_USER_BYTES_MAX", "1500000")
        .with("GODWIT__LIMITS__OFFLINE_ALL_BYTES_MAX", "2000000");
    let world = World::with(options).await;
    let kept = async |user: &str, device: &str, filter: &str| {
        let (mut probe, _) = world.kept(Version::V5, user, device).await;
        probe.subscribe(filter).await;
        probe
    };
    for device in ["old", "older"] {
        kept("alice", device, "u/alice/#").await.disconnect(0).await;
    }
    let mut there = kept("alice", "there", "u/alice/#").await;
    let mut phone = world.probe(Version::V5, "alice", "phone").await;
    let publish = async |phone: &mut Probe, topic: &str, n: u8| {
        assert_eq!(phone.publish(topic, &vec![n; BODY]).await.code, 0);
    };
    // Nine of 100 kB fit for each device, fourteen for the user.
    for n in 0..9 {
        publish(&mut phone, "u/alice/x", n).await;
        assert_eq!(there.recv().await.payload[0], n, "whoever is there misses nothing");
    }
    // A second user, below its own bound: all have twenty, and the longest queue is alice's.
    kept("bob", "old", "u/bob/#").await.disconnect(0).await;
    let mut bob = world.probe(Version::V5, "bob", "phone").await;
    for n in 0..8 {
        publish(&mut bob, "u/bob/x", n).await;
    }
    there.disconnect(0).await;
    let mut left = Vec::new();
    for (user, device) in [("alice", "old"), ("alice", "older"), ("bob", "old")] {
        let hello = world.hello(Version::V5, user, device).await.kept();
        let (mut probe, welcome) = Probe::connect(&world.mqtt(), &hello).await;
        let dropped =
            welcome.properties.user("dropped").map_or(0, |n| n.parse().expect("a number"));
        let (mut came, sent) = (Vec::new(), if user == "bob" { 8 } else { 9 });
        for _ in dropped..sent {
            came.push(probe.recv().await.payload[0]);
        }
        probe.fence().await;
        assert_eq!(probe.left(), Vec::<String>::new());
        assert!(came.iter().copied().eq(dropped..sent), "the oldest went: {came:?} of {sent}");
        left.push(came.len() * BODY);
        probe.disconnect(0).await;
    }
    assert!(left[0] + left[1] <= 1_500_000 && left.iter().sum::<usize>() <= 2_000_000, "{left:?}");
    assert!(left[0].abs_diff(left[1]) <= BODY, "the longest gave way: {left:?}");
    assert!(left[2] >= 600_000, "and it is not bob's: {left:?}");
}

/// Publishes with the retain flag.
async fn retain(probe: &mut Probe, topic: &str, payload: &[u8]) {
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
    assert!(probe.answer(packet_id).await.code < 0x80);
}

/// More retained messages than the queue holds come all the same, each once, as the client takes
/// them; and of one topic nothing older comes behind something newer.
#[tokio::test]
async fn retained_messages_beyond_the_queue_come_as_there_is_room() {
    const RETAINED: usize = 500;
    let options = Options::default()
        .with("GODWIT__LIMITS__OFFLINE_DELIVERIES_MAX", "40")
        .with("GODWIT__LIMITS__QUEUE_DELIVERIES_MAX", "40");
    let world = World::with(options).await;
    let mut phone = world.probe(Version::V5, "alice", "phone").await;
    let topic = |n: usize| format!("u/alice/{n:03}");
    for n in 0..RETAINED {
        retain(&mut phone, &topic(n), b"state").await;
    }
    for version in BOTH {
        let (mut laptop, _) = world.kept(version, "alice", "laptop").await;
        laptop.acknowledge = false;
        laptop.subscribe("u/alice/#").await;
        let first = laptop.recv().await;
        // The replay stands at some fifty: of these topics it has not come to one, nor to the other.
        phone.publish(&topic(400), b"event").await;
        retain(&mut phone, &topic(401), b"newer").await;
        let mut came = vec![(first.topic, first.payload)];
        laptop.write(&wire::puback(first.packet_id)).await;
        laptop.acknowledge = true;
        while came.len() < RETAINED + 2 {
            let next = laptop.recv().await;
            came.push((next.topic, next.payload));
        }
        laptop.fence().await;
        assert_eq!(laptop.left(), Vec::<String>::new());
        let of = |n: usize| -> Vec<&[u8]> {
            came.iter().filter(|(t, _)| *t == topic(n)).map(|(_, p)| &p[..]).collect()
        };
        assert_eq!(of(400), [&b"state"[..], b"event"], "the state before the event");
        assert_eq!(of(401), [&b"newer"[..], b"newer"], "live, and in its turn");
        let single = (0..RETAINED).filter(|n| ![400, 401].contains(n)).all(|n| of(n) == [b"state"]);
        assert!(single, "each of the others once");
        laptop.unsubscribe("u/alice/#").await;
        laptop.disconnect(0).await;
        world.probe(version, "alice", "laptop").await.disconnect(0).await;
        retain(&mut phone, &topic(401), b"state").await;
    }
}

/// A session that is left in the middle gets the rest on its next connection.
#[tokio::test]
async fn a_kept_session_goes_on_with_what_is_retained() {
    const RETAINED: usize = 300;
    let options = Options::default()
        .with("GODWIT__LIMITS__OFFLINE_DELIVERIES_MAX", "40")
        .with("GODWIT__LIMITS__QUEUE_DELIVERIES_MAX", "40");
    let world = World::with(options).await;
    let mut phone = world.probe(Version::V5, "alice", "phone").await;
    for n in 0..RETAINED {
        retain(&mut phone, &format!("u/alice/{n:03}"), b"state").await;
    }
    let (mut laptop, _) = world.kept(Version::V5, "alice", "laptop").await;
    laptop.subscribe("u/alice/#").await;
    let mut topics = std::collections::BTreeSet::new();
    for _ in 0..100 {
        topics.insert(laptop.recv().await.topic);
    }
    laptop.cut();
    let (mut laptop, present) = world.kept(Version::V5, "alice", "laptop").await;
    assert!(present);
    while topics.len() < RETAINED {
        topics.insert(laptop.recv().await.topic);
    }
    laptop.fence().await;
}
