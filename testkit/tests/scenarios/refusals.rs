//! Bad input: refused with its code, and nobody else notices.

use godwit_testkit::probe::Probe;
use godwit_testkit::server::Options;
use godwit_testkit::wire::{self, Properties, Version, id};

use super::payload;
use super::world::{BOTH, World};

const REFUSED: [&str; 9] = [
    "elsewhere",
    "elsewhere/#",
    "u/bob/#",
    "u/+/x",
    "$SYS/#",
    "$share/g/m/#",
    "$share/g/u/alice/#",
    "m/not-a-conversation",
    "m/AAAAAAAAAAAAAAAAAAAAAA",
];

#[tokio::test]
async fn filters_that_are_not_allowed_are_refused_one_by_one() {
    let world = World::new().await;
    for version in BOTH {
        let mut alice = world.probe(version, "alice", "phone").await;
        let mut filters: Vec<(&str, u8)> = REFUSED.iter().map(|f| (*f, 1)).collect();
        filters.push(("m/#", 1));
        let codes = alice.subscribe_with(&filters).await;
        let (last, refused) = codes.split_last().expect("codes");
        assert_eq!(*last, 1);
        for (filter, code) in REFUSED.iter().zip(refused) {
            let fine = match version {
                Version::V3 => *code == 0x80,
                // $share is answered with its own code where it is not spoken. [MQTT-3.8.3-4]
                Version::V5 => *code == 0x87 || (filter.starts_with("$share") && *code == 0x9E),
            };
            assert!(fine, "{version:?} {filter}: {code:#04x}");
        }
        // The good one of the same packet is in force.
        let mut bob = world.probe(version, "bob", "phone").await;
        bob.publish(&world.c(), b"heard").await;
        assert_eq!(payload::entry(&alice.recv().await.payload).body.as_ref(), b"heard");
    }
}

#[tokio::test]
async fn a_stranger_cannot_subscribe_a_conversation() {
    let world = World::new().await;
    for (version, code) in [(Version::V3, 0x80), (Version::V5, 0x87)] {
        let mut mallory = world.probe(version, "mallory", "phone").await;
        let filters = [(world.m(), 1), (world.c(), 1)];
        let filters = filters.each_ref().map(|(f, o)| (f.as_str(), *o));
        assert_eq!(mallory.subscribe_with(&filters).await, [code, code]);
        // All of theirs is nothing.
        mallory.subscribe("m/#").await;
        let mut alice = world.probe(version, "alice", "phone").await;
        let mut bob = world.probe(version, "bob", "phone").await;
        bob.subscribe("m/#").await;
        alice.publish(&world.c(), b"secret").await;
        bob.recv().await;
        mallory.subscribe("u/mallory/#").await;
        mallory.publish("u/mallory/marker", b"").await;
        assert_eq!(mallory.recv().await.topic, "u/mallory/marker");
    }
}

#[tokio::test]
async fn topics_that_are_not_allowed_are_refused() {
    let world = World::new().await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    for topic in ["elsewhere", "u/bob/x", "a", "x", "m/AAAAAAAAAAAAAAAAAAAAAA", "$SYS/x"] {
        let answer = alice.publish(topic, b"x").await;
        assert!(matches!(answer.code, 0x87 | 0x90), "{topic}: {answer:?}");
    }
    // 3.1.1 has no code: it is acknowledged, and told on `a`, and stays connected.
    let mut three = world.probe(Version::V3, "alice", "laptop").await;
    three.publish("elsewhere", b"x").await;
    three.fence().await;
    alice.fence().await;
}

/// As paho-mqtt does after an outage: its whole queue at once. What is beyond Receive Maximum waits
/// unread, is taken as room comes, and nobody is cut.
#[tokio::test]
async fn more_in_flight_than_receive_maximum_waits_unread() {
    let options = Options::default().with("GODWIT__LIMITS__RECEIVE_MAXIMUM", "4");
    let world = World::with(options).await;
    let hello = world.hello(Version::V5, "alice", "phone").await;
    let (mut alice, welcome) = Probe::connect(&world.mqtt(), &hello).await;
    assert_eq!(welcome.properties.number(id::RECEIVE_MAX), Some(4));
    let before = world.server.resident();
    let mut burst = Vec::new();
    for n in 1..=2000 {
        let publish = wire::Publish {
            qos: 1,
            topic: world.keyed(&format!("k{n}")),
            packet_id: n,
            payload: vec![b'x'; 1000],
            ..wire::Publish::default()
        };
        burst.extend(wire::publish(Version::V5, &publish));
    }
    alice.write(&burst).await;
    for n in 1..=2000 {
        assert_eq!(alice.answer(n).await.code, 0);
    }
    alice.fence().await;
    let growth = world.server.resident().saturating_sub(before);
    assert!(growth < 32 * 1024 * 1024, "{} KiB for 2 MB that waited", growth / 1024);
}

/// Packets that no client may send, with what they are.
fn malformed(version: Version) -> Vec<(&'static str, Vec<u8>)> {
    let publish = |topic: &[u8], flags: u8| {
        let mut rest = u16::try_from(topic.len()).expect("short").to_be_bytes().to_vec();
        rest.extend_from_slice(topic);
        rest.extend_from_slice(&[0, 9]);
        if version == Version::V5 {
            rest.push(0);
        }
        wire::frame(flags, &rest)
    };
    let mut packets = vec![
        ("a remaining length of five bytes", vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ("a reserved packet type", vec![0x00, 0x00]),
        ("a CONNACK", vec![0x20, 0x02, 0x00, 0x00]),
        ("a PINGRESP", vec![0xD0, 0x00]),
        (
            "a second CONNECT",
            wire::connect(&godwit_testkit::probe::connect(version, "a", "b", "c")),
        ),
        ("QoS 3", publish(b"u/alice/x", 0x36)),
        ("a topic with a wildcard", publish(b"u/alice/#", 0x32)),
        ("an empty topic", publish(b"", 0x32)),
        ("a topic that is no UTF-8", publish(b"u/alice/\xff\xfe", 0x32)),
        ("a topic with a surrogate", publish(b"u/alice/\xed\xa0\x80", 0x32)),
        ("a topic with NUL", publish(b"u/alice/\0", 0x32)),
        ("a topic beyond the packet", wire::frame(0x32, &[0xff, 0xff, b'x'])),
        ("packet id 0", wire::frame(0x32, b"\x00\x09u/alice/x\x00\x00")),
        ("SUBSCRIBE with wrong flags", wire::frame(0x80, &[0, 1, 0, 1, b'x', 0])),
        ("SUBSCRIBE of nothing", wire::subscribe(version, 1, &[])),
        ("SUBSCRIBE with QoS 3", wire::subscribe(version, 1, &[("m/#", 3)])),
        ("UNSUBSCRIBE of nothing", wire::unsubscribe(version, 1, &[])),
        ("PINGREQ with a body", vec![0xC0, 0x01, 0x00]),
    ];
    if version == Version::V5 {
        let twice = Properties::none()
            .with(id::TOPIC_ALIAS, wire::Value::Two(1))
            .with(id::TOPIC_ALIAS, wire::Value::Two(2));
        let zero = Properties::none().with(id::TOPIC_ALIAS, wire::Value::Two(0));
        for (what, properties) in [("a property twice", twice), ("alias 0", zero)] {
            let publish = wire::Publish {
                qos: 1,
                topic: "u/alice/x".to_owned(),
                packet_id: 1,
                properties,
                ..wire::Publish::default()
            };
            packets.push((what, wire::publish(version, &publish)));
        }
        packets.push(("an unknown property", wire::frame(0x32, b"\0\x01u\0\x01\x02\x7f\x01")));
    }
    packets
}

#[tokio::test]
async fn malformed_packets_end_their_connection_and_no_other() {
    let world = World::new().await;
    let mut bob = world.probe(Version::V5, "bob", "phone").await;
    bob.subscribe("m/#").await;
    let mut witness = world.probe(Version::V3, "alice", "laptop").await;
    let mut seq = 0;
    for version in BOTH {
        for (what, bytes) in malformed(version) {
            let mut alice = world.probe(version, "alice", "phone").await;
            alice.write(&bytes).await;
            let code = alice.ended().await;
            match version {
                Version::V3 => assert_eq!(code, None, "{what}"),
                Version::V5 => {
                    let fine = matches!(code, Some(0x81 | 0x82 | 0x8F | 0x90 | 0x94 | 0x95 | 0x9B));
                    assert!(fine, "{what}: {code:?}");
                }
            }
            witness.publish(&world.c(), what.as_bytes()).await;
            seq += 1;
            let entry = payload::entry(&bob.recv().await.payload);
            assert_eq!((entry.seq, &*entry.body), (seq, what.as_bytes()));
        }
    }
}

#[tokio::test]
async fn bytes_before_a_connect_end_the_connection() {
    let world = World::new().await;
    let hello = world.hello(Version::V5, "alice", "phone").await;
    let good = wire::connect(&hello);
    let mut wrong_name = good.clone();
    wrong_name[good.len().min(6)] = b'X';
    let cases: [(&str, Vec<u8>); 6] = [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a PUBLISH first", wire::frame(0x30, b"\x00\x01xhello")),
        ("a PINGREQ first", wire::pingreq()),
        ("another protocol", wrong_name),
        (
            "a CONNECT of 200 MB",
            vec![0x10, 0x80, 0x80, 0x80, 0x60, 0, 4, b'M', b'Q', b'T', b'T', 5],
        ),
        ("zeros", vec![0; 64]),
    ];
    for (what, bytes) in cases {
        let mut probe = Probe::open(&world.mqtt(), Version::V5).await;
        probe.write(&bytes).await;
        loop {
            // A CONNACK with a code may come before the end; nothing else may.
            match probe.next().await {
                wire::Received::ConnAck { code, .. } => assert!(code != 0, "{what}"),
                wire::Received::Disconnect { .. } => {}
                wire::Received::Closed => break,
                other => panic!("{what}: {other:?}"),
            }
        }
    }
    Probe::connect(&world.mqtt(), &hello).await;
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let options = Options::default().with("GODWIT__LIMITS__CONNECT_TIMEOUT", "300ms");
    let world = World::with(options).await;
    let mut silent = Probe::open(&world.mqtt(), Version::V3).await;
    let mut slow = Probe::open(&world.mqtt(), Version::V3).await;
    slow.write(&[0x10]).await;
    assert_eq!(silent.ended().await, None);
    assert_eq!(slow.ended().await, None);
}

#[tokio::test]
async fn a_packet_over_the_maximum_is_refused_by_its_declared_size() {
    let options = Options::default()
        .with("GODWIT__LIMITS__BODY_BYTES_MAX", "1000")
        .with("GODWIT__LIMITS__PACKET_BYTES_MAX", "4096");
    let world = World::with(options).await;
    let hello = world.hello(Version::V5, "alice", "phone").await;
    let (mut alice, welcome) = Probe::connect(&world.mqtt(), &hello).await;
    assert_eq!(welcome.properties.number(id::PACKET_MAX), Some(4096));
    // Only the header is sent: the declared size is enough.
    alice.write(&[0x30, 0xff, 0xff, 0xff, 0x7f]).await;
    assert_eq!(alice.ended().await, Some(0x95));
}

#[tokio::test]
async fn qos_2_is_said_not_to_be_spoken_and_granted_as_1() {
    const MAXIMUM_QOS: u8 = 0x24;
    let world = World::new().await;
    for version in BOTH {
        let hello = world.hello(version, "alice", "phone").await;
        let (mut alice, welcome) = Probe::connect(&world.mqtt(), &hello).await;
        if version == Version::V5 {
            assert_eq!(welcome.properties.number(MAXIMUM_QOS), Some(1));
        }
        assert_eq!(alice.subscribe_with(&[("m/#", 2)]).await, [1]);
        let publish = wire::Publish {
            qos: 2,
            topic: world.c(),
            packet_id: 1,
            payload: b"twice?".to_vec(),
            ..wire::Publish::default()
        };
        alice.write(&wire::publish(version, &publish)).await;
        assert_eq!(alice.ended().await, (version == Version::V5).then_some(0x9B));
    }
    // Nothing of it was stored.
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    assert_eq!(alice.publish(&world.c(), b"x").await.properties.user("seq"), Some("1"));
}

#[tokio::test]
async fn floods_of_filters_and_properties_are_bounded() {
    let world = World::new().await;
    let names: Vec<String> = (0..300).map(|n| format!("u/alice/{n}")).collect();
    let filters: Vec<(&str, u8)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    // More than a packet may have end the connection.
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    alice.write(&wire::subscribe(Version::V5, 1, &filters)).await;
    assert_eq!(alice.ended().await, Some(0x97));
    // More than a device may have are refused one by one.
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let mut codes = Vec::new();
    for chunk in filters.chunks(20) {
        codes.extend(alice.subscribe_with(chunk).await);
    }
    let (granted, refused) = codes.split_at(256);
    assert!(granted.iter().all(|code| *code == 1), "{granted:?}");
    assert!(refused.iter().all(|code| *code == 0x97), "{refused:?}");
    let mut flood = Properties::none();
    for n in 0..5000 {
        flood = flood.with_user("key", &n.to_string());
    }
    alice.start_publish("u/alice/0", b"x", flood).await;
    assert!(matches!(alice.ended().await, Some(0x80..=0x9F)));
    let mut again = world.probe(Version::V5, "alice", "phone").await;
    again.fence().await;
}
