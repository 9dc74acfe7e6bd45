//! Topics that are no conversation: a user's own space.

use std::time::Duration;

use godwit_testkit::probe::Probe;
use godwit_testkit::wire::{Properties, Publish, Value, Version, id};

use super::world::{BOTH, World};

#[tokio::test]
async fn a_users_own_space_is_across_its_devices() {
    let world = World::new().await;
    for version in BOTH {
        let mut laptop = world.probe(version, "alice", "laptop").await;
        laptop.subscribe("u/alice/#").await;
        let mut phone = world.probe(version, "alice", "phone").await;
        phone.subscribe("u/alice/only/+").await;
        phone.publish("u/alice/clipboard", b"copied").await;
        assert_eq!(laptop.recv().await.payload, b"copied");
        laptop.publish_qos0("u/alice/only/this", b"").await;
        let got = phone.recv().await;
        assert_eq!((got.topic.as_str(), got.qos), ("u/alice/only/this", 0));
        laptop.recv().await;
    }
}

#[tokio::test]
async fn properties_travel_with_a_plain_message() {
    let world = World::new().await;
    let mut laptop = world.probe(Version::V5, "alice", "laptop").await;
    laptop.subscribe("u/alice/#").await;
    let mut phone = world.probe(Version::V5, "alice", "phone").await;
    let properties = Properties::none()
        .with(id::EXPIRY, Value::Four(60))
        .with(id::RESPONSE_TOPIC, Value::Text(b"u/alice/reply".to_vec()))
        .with(id::CORRELATION_DATA, Value::Text(vec![0, 1, 255]))
        .with_user("a", "1")
        .with_user("a", "2");
    let packet = phone.start_publish("u/alice/x", b"x", properties).await;
    assert!(matches!(phone.answer(packet).await.code, 0x00 | 0x10));
    let got = laptop.recv().await.properties;
    assert!(got.number(id::EXPIRY).is_some_and(|left| (58..=60).contains(&left)), "{got:?}");
    assert_eq!(got.text(id::RESPONSE_TOPIC), Some("u/alice/reply"));
    assert_eq!(got.get(id::CORRELATION_DATA), Some(&Value::Text(vec![0, 1, 255])));
    let pair = |v: &str| (id::USER, Value::Pair("a".to_owned(), v.to_owned()));
    let users: Vec<_> = got.0.into_iter().filter(|(i, _)| *i == id::USER).collect();
    assert_eq!(users, [pair("1"), pair("2")]);
}

#[tokio::test]
async fn what_expired_is_not_delivered() {
    let world = World::new().await;
    let (mut laptop, _) = world.kept(Version::V5, "alice", "laptop").await;
    laptop.subscribe("u/alice/#").await;
    laptop.disconnect(0).await;
    let mut phone = world.probe(Version::V5, "alice", "phone").await;
    for (body, expiry) in [("short", 1), ("long", 600)] {
        let expiry = Properties::none().with(id::EXPIRY, Value::Four(expiry));
        let packet = phone.start_publish("u/alice/x", body.as_bytes(), expiry).await;
        phone.answer(packet).await;
    }
    // The time itself is what is tested.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (mut laptop, present) = world.kept(Version::V5, "alice", "laptop").await;
    assert!(present);
    let got = laptop.recv().await;
    assert_eq!(got.payload, b"long");
    assert!(got.properties.number(id::EXPIRY).is_some_and(|left| left < 600), "{got:?}");
}

#[tokio::test]
async fn a_retained_message_waits_for_its_subscriber() {
    let world = World::new().await;
    let mut phone = world.probe(Version::V5, "alice", "phone").await;
    let retained = |packet_id, payload: &[u8]| Publish {
        qos: 1,
        retain: true,
        topic: "u/alice/state".to_owned(),
        packet_id,
        payload: payload.to_vec(),
        ..Publish::default()
    };
    let id = phone.fresh_id();
    phone.write(&godwit_testkit::wire::publish(Version::V5, &retained(id, b"on"))).await;
    phone.answer(id).await;
    for version in BOTH {
        let mut laptop = world.probe(version, "alice", "laptop").await;
        laptop.subscribe("u/alice/#").await;
        let got = laptop.recv().await;
        assert_eq!((got.payload.as_slice(), got.retain), (&b"on"[..], true));
    }
    let id = phone.fresh_id();
    phone.write(&godwit_testkit::wire::publish(Version::V5, &retained(id, b""))).await;
    phone.answer(id).await;
    let mut laptop: Probe = world.probe(Version::V5, "alice", "laptop").await;
    laptop.subscribe("u/alice/#").await;
    phone.publish("u/alice/marker", b"").await;
    assert_eq!(laptop.recv().await.topic, "u/alice/marker");
}
