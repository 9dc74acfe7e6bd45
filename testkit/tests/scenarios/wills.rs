//! Last wills: delivered after an end that was none, and only then.

use std::time::{Duration, Instant};

use godwit_testkit::probe::Probe;
use godwit_testkit::wire::{self, Properties, Value, Version, id};

use super::payload;
use super::world::{BOTH, World};

const TOPIC: &str = "u/alice/status";

/// alice's laptop, listening to her own space.
async fn listener(world: &World) -> Probe {
    let mut laptop = world.probe(Version::V5, "alice", "laptop").await;
    laptop.subscribe("u/alice/#").await;
    laptop
}

/// Something that comes after everything sent so far.
async fn marker(laptop: &mut Probe, what: &str) {
    laptop.publish("u/alice/marker", what.as_bytes()).await;
}

#[tokio::test]
async fn a_cut_connection_has_a_will_and_a_goodbye_has_none() {
    let world = World::new().await;
    let mut laptop = listener(&world).await;
    for version in BOTH {
        let hello = world.hello(version, "alice", "phone").await;
        let hello = hello.with_will(TOPIC, b"gone", Properties::none());
        let (phone, _) = Probe::connect(&world.mqtt(), &hello).await;
        phone.cut();
        let got = laptop.recv().await;
        assert_eq!((got.topic.as_str(), got.payload.as_slice()), (TOPIC, &b"gone"[..]));

        let (phone, _) = Probe::connect(&world.mqtt(), &hello).await;
        phone.disconnect(0).await;
        marker(&mut laptop, "after the goodbye").await;
        assert_eq!(laptop.recv().await.payload, b"after the goodbye");
    }
    // MQTT 5: a DISCONNECT may ask for it. [MQTT-3.14.4-3]
    let hello = world.hello(Version::V5, "alice", "phone").await;
    let hello = hello.with_will(TOPIC, b"on purpose", Properties::none());
    let (phone, _) = Probe::connect(&world.mqtt(), &hello).await;
    phone.disconnect(0x04).await;
    assert_eq!(laptop.recv().await.payload, b"on purpose");
}

#[tokio::test]
async fn a_will_may_wait_and_a_return_cancels_it() {
    let world = World::new().await;
    let mut laptop = listener(&world).await;
    let delay = |s| Properties::none().with(id::WILL_DELAY, Value::Four(s));
    let hello = world.hello(Version::V5, "alice", "phone").await.kept();
    let waiting = hello.clone().with_will(TOPIC, b"late", delay(1));
    let (phone, _) = Probe::connect(&world.mqtt(), &waiting).await;
    let cut = Instant::now();
    phone.cut();
    assert_eq!(laptop.recv().await.payload, b"late");
    assert!(cut.elapsed() >= Duration::from_millis(900), "after {:?}", cut.elapsed());

    let waiting = hello.clone().with_will(TOPIC, b"never", delay(2));
    let (phone, _) = Probe::connect(&world.mqtt(), &waiting).await;
    phone.cut();
    let back = hello.with_will(TOPIC, b"third", delay(3));
    let (phone, welcome) = Probe::connect(&world.mqtt(), &back).await;
    assert!(welcome.present);
    phone.cut();
    // Had the second will not been cancelled, it would have come before the third.
    assert_eq!(laptop.recv().await.payload, b"third");
}

#[tokio::test]
async fn a_takeover_is_an_end_without_a_goodbye() {
    let world = World::new().await;
    let mut laptop = listener(&world).await;
    let hello = world.hello(Version::V5, "alice", "phone").await;
    let first = hello.clone().with_will(TOPIC, b"first", Properties::none());
    let second = hello.with_will(TOPIC, b"second", Properties::none());
    let (mut old, _) = Probe::connect(&world.mqtt(), &first).await;
    let (new, _) = Probe::connect(&world.mqtt(), &second).await;
    assert_eq!(old.ended().await, Some(0x8E));
    assert_eq!(laptop.recv().await.payload, b"first");
    new.cut();
    assert_eq!(laptop.recv().await.payload, b"second");
}

#[tokio::test]
async fn a_will_can_be_a_message_of_a_conversation() {
    let world = World::new().await;
    let mut bob = world.probe(Version::V5, "bob", "phone").await;
    bob.subscribe("m/#").await;
    let hello = world.hello(Version::V3, "alice", "phone").await;
    let hello = hello.with_will(&world.keyed("will-1"), b"I am gone", Properties::none());
    Probe::connect(&world.mqtt(), &hello).await.0.cut();
    let entry = payload::entry(&bob.recv().await.payload);
    assert_eq!((entry.seq, entry.body.as_ref(), &*entry.sender), (1, &b"I am gone"[..], "alice"));
}

#[tokio::test]
async fn a_will_to_a_topic_that_is_not_allowed_is_refused_at_connect() {
    let world = World::new().await;
    for (version, code) in [(Version::V3, 5), (Version::V5, 0x87)] {
        for topic in ["u/bob/status", "elsewhere", "$SYS/x"] {
            let hello = world.hello(version, "alice", "phone").await;
            let hello = hello.with_will(topic, b"x", Properties::none());
            let (_, welcome) = Probe::try_connect(&world.mqtt(), &hello).await;
            assert_eq!(welcome.code, code, "{version:?} {topic}");
        }
    }
}

#[tokio::test]
async fn a_goodbye_counts_although_the_device_is_back_before_it_was_read() {
    let world = World::new().await;
    let mut laptop = listener(&world).await;
    for round in 0..20 {
        let hello = world.hello(Version::V5, "alice", "phone").await;
        let hello = hello.with_will(TOPIC, b"gone", Properties::none());
        let (mut phone, _) = Probe::connect(&world.mqtt(), &hello).await;
        phone.write(&wire::disconnect(Version::V5, 0)).await;
        drop(phone);
        let (phone, _) = Probe::connect(&world.mqtt(), &hello).await;
        let round = format!("round {round}");
        marker(&mut laptop, &round).await;
        assert_eq!(laptop.recv().await.payload, round.as_bytes());
        phone.disconnect(0).await;
    }
}

/// A will to a conversation is a send: whoever may not send there learns it at CONNECT, for later
/// nobody would see the refusal.
#[tokio::test]
async fn a_will_to_a_conversation_of_others_is_refused_at_connect() {
    let world = World::new().await;
    for (version, code) in [(Version::V3, 5), (Version::V5, 0x87)] {
        for topic in [world.c(), world.keyed("will"), world.s(), format!("t/{}", world.cid)] {
            let hello = world.hello(version, "mallory", "phone").await;
            let hello = hello.with_will(&topic, b"x", Properties::none());
            let (_, welcome) = Probe::try_connect(&world.mqtt(), &hello).await;
            assert_eq!(welcome.code, code, "{version:?} {topic}");
            // A member's is taken.
            let hello = world.hello(version, "alice", "phone").await;
            let hello = hello.with_will(&topic, b"x", Properties::none());
            let (alice, _) = Probe::connect(&world.mqtt(), &hello).await;
            alice.disconnect(0).await;
        }
    }
}

/// The right to speak ends with the token, and with it the patience of a will: it is told when the
/// token expires, not after.
#[tokio::test]
async fn a_will_does_not_outlive_the_token() {
    let world = World::new().await;
    let mut laptop = listener(&world).await;
    let delay = Properties::none().with(id::WILL_DELAY, Value::Four(3600));
    for cut in [false, true] {
        let token = world.server.token("alice", "short", "2s").await;
        let hello = godwit_testkit::probe::connect(Version::V5, "alice", "short", &token).kept();
        let hello = hello.with_will(TOPIC, b"over", delay.clone());
        let begun = Instant::now();
        let (mut short, _) = Probe::connect(&world.mqtt(), &hello).await;
        if cut {
            short.cut();
        } else {
            assert_eq!(short.ended().await, Some(0x87));
        }
        assert_eq!(laptop.recv().await.payload, b"over");
        assert!(begun.elapsed() < Duration::from_secs(6), "after {:?}", begun.elapsed());
    }
}
