//! Sending and receiving, with the clients that apps use.

use godwit_testkit::wire::{Properties, Version, id};

use super::payload;
use super::world::{BOTH, World};

on_both_stores!(every_version_talks_to_every_version, a_resend_is_the_same_message);

async fn every_version_talks_to_every_version(world: World) {
    let mut seq = 0;
    for receiving in BOTH {
        for sending in BOTH {
            let (mut bob, _) = world.stock(receiving, "bob", "phone", false).await;
            assert_eq!(bob.subscribe("m/#").await, 1);
            let (mut alice, _) = world.stock(sending, "alice", "phone", false).await;
            let cmid = format!("k-{receiving:?}-{sending:?}");
            let (code, committed) =
                alice.publish(&world.s(), &payload::send(&cmid, b"hello")).await;
            seq += 1;
            assert_eq!(code, 0);
            let (topic, bytes) = bob.message().await;
            let entry = payload::entry(&bytes);
            assert_eq!(topic, world.m());
            assert_eq!(entry.seq, seq);
            assert_eq!((entry.sender.as_str(), entry.device.as_str()), ("alice", "phone"));
            assert_eq!(entry.body.as_ref(), b"hello");
            assert_eq!(entry.chain.len(), 8);
            assert!(entry.time_ms > 1_700_000_000_000);
            match sending {
                Version::V3 => assert_eq!(committed, None),
                Version::V5 => {
                    let committed = committed.expect("MQTT 5 brings mid, seq and dup");
                    assert_eq!(committed.mid, payload::mid(&entry.message_id));
                    assert_eq!((committed.seq, committed.dup), (seq, false));
                }
            }
            alice.disconnect().await;
            bob.disconnect().await;
        }
    }
}

async fn a_resend_is_the_same_message(world: World) {
    let mut bob = world.probe(Version::V5, "bob", "phone").await;
    bob.subscribe("m/#").await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let first = alice.publish(&world.keyed("once"), b"one").await;
    assert_eq!(first.code, 0);
    assert_eq!(first.properties.user("dup"), Some("0"));
    let again = alice.publish(&world.keyed("once"), b"one").await;
    // The key is the device's, not the connection's, and the same on every kind of topic.
    alice.disconnect(0).await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let by_protobuf = alice.publish(&world.s(), &payload::send("once", b"one")).await;
    let property = Properties::none().with_user("cmid", "once");
    let packet = alice.start_publish(&world.c(), b"one", property).await;
    let by_property = alice.answer(packet).await;
    for resend in [again, by_protobuf, by_property] {
        assert_eq!(resend.code, 0);
        assert_eq!(resend.properties.user("dup"), Some("1"));
        assert_eq!(resend.properties.user("mid"), first.properties.user("mid"));
        assert_eq!(resend.properties.user("seq"), first.properties.user("seq"));
    }
    // Another device's key is another key.
    let mut laptop = world.probe(Version::V5, "alice", "laptop").await;
    let other = laptop.publish(&world.keyed("once"), b"two").await;
    assert_eq!(other.properties.user("dup"), Some("0"));
    assert_eq!(payload::entry(&bob.recv().await.payload).body.as_ref(), b"one");
    assert_eq!(payload::entry(&bob.recv().await.payload).body.as_ref(), b"two");
}

#[tokio::test]
async fn plain_clients_get_bodies_with_their_place() {
    let world = World::new().await;
    for version in BOTH {
        let mut bob = world.probe(version, "bob", "phone").await;
        bob.subscribe(&world.c()).await;
        let mut alice = world.probe(Version::V5, "alice", "phone").await;
        let answer = alice.publish(&world.c(), b"\x00raw\xff").await;
        let got = bob.recv().await;
        assert_eq!(
            (got.topic.as_str(), got.payload.as_slice()),
            (&*world.c(), &b"\x00raw\xff"[..])
        );
        assert_eq!((got.qos, got.retain), (1, false));
        if version == Version::V5 {
            assert_eq!(got.properties.user("from"), Some("alice"));
            assert_eq!(got.properties.user("seq"), answer.properties.user("seq"));
            assert_eq!(got.properties.user("mid"), answer.properties.user("mid"));
            let ts = got.properties.user("ts").and_then(|ts| ts.parse::<u64>().ok());
            assert!(ts.is_some_and(|ts| ts > 1_700_000_000_000), "{got:?}");
        }
    }
}

#[tokio::test]
async fn many_in_flight_are_answered_in_order() {
    let world = World::new().await;
    let mut bob = world.probe(Version::V5, "bob", "phone").await;
    bob.subscribe("m/#").await;
    let hello = world.hello(Version::V5, "alice", "phone").await;
    let (mut alice, welcome) = godwit_testkit::probe::Probe::connect(&world.mqtt(), &hello).await;
    let window = welcome.properties.number(id::RECEIVE_MAX).expect("the server tells its window");
    for round in 0..4 {
        let mut packets = Vec::new();
        for n in 0..window {
            let body = format!("{round}-{n}");
            let payload = payload::send(&format!("k{body}"), body.as_bytes());
            packets.push(alice.start_publish(&world.s(), &payload, Properties::none()).await);
        }
        for packet in packets {
            // The next PUBACK is of this packet and of no later one.
            let next = alice.next().await;
            let expected = matches!(&next, godwit_testkit::wire::Received::PubAck {
                packet_id, code: 0, ..
            } if *packet_id == packet);
            assert!(expected, "{next:?} instead of the PUBACK of {packet}");
        }
        for n in 0..window {
            let entry = payload::entry(&bob.recv().await.payload);
            assert_eq!(entry.seq, u64::from(round * window + n + 1));
            assert_eq!(entry.body, format!("{round}-{n}"));
        }
    }
}

#[tokio::test]
async fn topic_aliases_work_both_ways() {
    let world = World::new().await;
    let hello = world.hello(Version::V5, "bob", "phone").await;
    let hello = hello.with(id::TOPIC_ALIAS_MAX, godwit_testkit::wire::Value::Two(4));
    let (mut bob, _) = godwit_testkit::probe::Probe::connect(&world.mqtt(), &hello).await;
    bob.subscribe("m/#").await;
    let hello = world.hello(Version::V5, "alice", "phone").await;
    let (mut alice, welcome) = godwit_testkit::probe::Probe::connect(&world.mqtt(), &hello).await;
    let max = welcome.properties.number(id::TOPIC_ALIAS_MAX).expect("aliases are allowed");
    assert!(max >= 1);
    let alias = || Properties::none().with(id::TOPIC_ALIAS, godwit_testkit::wire::Value::Two(1));
    for (topic, key) in [(world.s().as_str(), "k1"), ("", "k2"), ("", "k3")] {
        let packet = alice.start_publish(topic, &payload::send(key, b"x"), alias()).await;
        assert_eq!(alice.answer(packet).await.code, 0, "{key}");
    }
    for seq in 1..=3 {
        let got = bob.recv().await;
        assert_eq!(got.topic, world.m());
        assert_eq!(payload::entry(&got.payload).seq, seq);
    }
    assert_eq!(bob.aliased, 2, "the second and third delivery need no topic");
}

#[tokio::test]
async fn an_alias_that_was_never_given_ends_the_connection() {
    let world = World::new().await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let alias = Properties::none().with(id::TOPIC_ALIAS, godwit_testkit::wire::Value::Two(1));
    alice.start_publish("", b"x", alias).await;
    assert!(matches!(alice.ended().await, Some(0x82 | 0x94)));
}
