//! CONTRACT.md, "The fate of a send": on the PUBACK, on `a`, and what a refusal leaves.

use godwit_testkit::probe::Probe;
use godwit_testkit::server::Options;
use godwit_testkit::wire::{Properties, Value, Version, id};

use super::payload;
use super::world::World;

/// A well-formed id of no conversation.
const NOWHERE: &str = "AAAAAAAAAAAAAAAAAAAAAA";

#[tokio::test]
async fn a_client_of_3_1_1_learns_its_fates_on_a() {
    let world = World::new().await;
    let mut alice = world.probe(Version::V3, "alice", "phone").await;
    alice.subscribe("a").await;
    alice.publish(&world.s(), &payload::send("k1", b"one")).await;
    let fate = payload::fates(&alice.recv().await).remove(0);
    assert_eq!((fate.cmid.as_str(), fate.code, fate.seq, fate.duplicate), ("k1", 0, 1, false));
    assert_eq!(fate.conversation_id, payload::cid_bytes(&world.cid));
    let first = fate.message_id;
    assert_eq!(first.len(), 16);
    alice.publish(&world.s(), &payload::send("k1", b"one")).await;
    let fate = payload::fates(&alice.recv().await).remove(0);
    assert_eq!((fate.message_id, fate.duplicate), (first, true));
    // A permanent refusal is acknowledged, so that the client does not send it for ever.
    alice.publish(&format!("s/{NOWHERE}"), &payload::send("k2", b"two")).await;
    let fate = payload::fates(&alice.recv().await).remove(0);
    assert_eq!((fate.cmid.as_str(), fate.code), ("k2", 0x87));
    assert!(fate.message_id.is_empty() && !fate.reason.is_empty());
}

#[tokio::test]
async fn without_problem_information_the_puback_is_bare() {
    let world = World::new().await;
    let hello = world.hello(Version::V5, "alice", "phone").await;
    let hello = hello.with(id::REQUEST_PROBLEM, Value::Byte(0));
    let (mut alice, _) = Probe::connect(&world.mqtt(), &hello).await;
    alice.subscribe("a").await;
    let answer = alice.publish(&world.s(), &payload::send("k1", b"one")).await;
    assert_eq!((answer.code, answer.properties), (0, Properties::none()));
    let fate = payload::fates(&alice.recv().await).remove(0);
    assert_eq!((fate.cmid.as_str(), fate.code, fate.seq), ("k1", 0, 1));
    let answer = alice.publish(&format!("s/{NOWHERE}"), &payload::send("k2", b"x")).await;
    assert_eq!(answer.properties, Properties::none());
    assert_eq!(payload::fates(&alice.recv().await)[0].code, 0x87);
}

#[tokio::test]
async fn each_refusal_has_its_code_and_stores_nothing() {
    let options = Options::default().with("GODWIT__LIMITS__BODY_BYTES_MAX", "1000");
    let world = World::with(options).await;
    let mut bob = world.probe(Version::V5, "bob", "phone").await;
    bob.subscribe("m/#").await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let mut mallory = world.probe(Version::V5, "mallory", "phone").await;
    let (s, c) = (world.s(), world.c());
    let nowhere = format!("s/{NOWHERE}");
    let large = vec![b'x'; 1001];
    let no_key = payload::send("", b"x");
    let bad_key = payload::send("a/b", b"x");
    let stale = payload::custom("k", b"x", |send| send.group_version = Some(7));
    let future = payload::custom("k", b"x", |send| send.reply_to = 99);
    let chain = payload::custom("k", b"x", |send| send.previous_chain = vec![1; 8].into());
    let typed = payload::custom("k", b"x", |send| send.r#type = 2);
    let table: &[(&str, &str, &[u8], u8)] = &[
        ("an unknown conversation", &nowhere, &payload::send("k", b"x"), 0x87),
        ("a body over the limit", &s, &payload::send("k", &large), 0x99),
        ("a plain body over the limit", &c, &large, 0x99),
        ("no protobuf", &s, b"\xff\xff\xff", 0x99),
        ("a key of a wrong alphabet", &s, &bad_key, 0x99),
        ("no key", &s, &no_key, 0x99),
        ("a stale group version", &s, &stale, 0x83),
        ("another head", &s, &chain, 0x83),
        ("an answer to what is not there", &s, &future, 0x99),
        ("a type that clients may not send", &s, &typed, 0x99),
    ];
    for (what, topic, bytes, code) in table {
        let answer = alice.publish(topic, bytes).await;
        assert_eq!(answer.code, *code, "{what}: {answer:?}");
        if *code == 0x83 {
            assert_eq!(answer.properties.user("gv"), Some("1"), "{what}");
        }
    }
    for topic in [&s, &c] {
        let answer = mallory.publish(topic, &payload::send("k", b"x")).await;
        assert_eq!(answer.code, 0x87, "a non-member on {topic}");
    }
    // None of them took a place in the log, and the limit itself is allowed.
    let answer = alice.publish(&c, &large[..1000]).await;
    assert_eq!((answer.code, answer.properties.user("seq")), (0, Some("1")));
    assert_eq!(payload::entry(&bob.recv().await.payload).seq, 1);
}

#[tokio::test]
async fn a_quota_answers_when_to_come_again() {
    let options = Options::default().with("GODWIT__LIMITS__PUBLISHES_PER_S", "5");
    let world = World::with(options).await;
    let mut other = world.probe(Version::V5, "bob", "phone").await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let mut packets = Vec::new();
    for n in 0..40 {
        packets.push((
            n,
            alice.start_publish(&world.keyed(&format!("k{n}")), b"x", Properties::none()).await,
        ));
    }
    let (mut accepted, mut refused) = (0_u64, Vec::new());
    for (n, packet) in packets {
        let answer = alice.answer(packet).await;
        match answer.code {
            0 => accepted += 1,
            0x97 => {
                let wait = answer.properties.user("retry_after_ms").map(str::parse::<u64>);
                refused.push((n, wait.expect("told").expect("a number")));
            }
            code => panic!("{code:#04x}: {answer:?}"),
        }
    }
    assert!(accepted >= 1 && refused.len() >= 10, "{accepted} accepted, {refused:?} refused");
    // Somebody else's quota is somebody else's.
    assert_eq!(other.publish(&world.keyed("b"), b"x").await.code, 0);
    // What was refused was not stored, and waiting as told is enough.
    let (n, wait_ms) = refused[refused.len() - 1];
    assert!((1..=10_000).contains(&wait_ms), "{wait_ms} ms");
    tokio::time::sleep(std::time::Duration::from_millis(wait_ms)).await;
    let answer = alice.publish(&world.keyed(&format!("k{n}")), b"x").await;
    assert_eq!((answer.code, answer.properties.user("dup")), (0, Some("0")));
    assert_eq!(answer.properties.user("seq"), Some(&*(accepted + 2).to_string()));
}
