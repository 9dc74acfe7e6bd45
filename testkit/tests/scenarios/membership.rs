//! Members come and go; what they may see changes at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use godwit_proto::conversation::v1::membership::Change;
use godwit_testkit::wire::{Properties, Version};
use serde_json::json;

use super::payload;
use super::world::World;

on_both_stores!(a_removed_member_is_cut_at_once, a_new_member_sees_what_comes_from_then_on);

async fn remove(world: &World, cid: &str, user: &str) {
    let path = format!("/v1/conversations/{cid}/members/{user}");
    let reply = world.server.ask("DELETE", &path, world.server.admin(), None).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

async fn add(world: &World, cid: &str, user: &str) {
    let path = format!("/v1/conversations/{cid}/members");
    let body = json!({ "users": [user] });
    let reply = world.server.ask("POST", &path, world.server.admin(), Some(&body)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

async fn a_removed_member_is_cut_at_once(world: World) {
    let cid = world.server.create("group", &["alice", "bob", "carol"]).await;
    let (mut carol, _) = world.kept(Version::V5, "carol", "phone").await;
    for filter in ["m/#", "x", &format!("c/{cid}"), "u/carol/#"] {
        carol.subscribe(filter).await;
    }
    let (mut away, _) = world.kept(Version::V3, "carol", "laptop").await;
    away.subscribe("m/#").await;
    away.disconnect(0).await;
    let mut bob = world.probe(Version::V5, "bob", "phone").await;
    bob.subscribe("m/#").await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let topic = format!("c/{cid}");
    alice.publish(&topic, b"to all three").await;
    assert_eq!(payload::entry(&carol.recv_on("m/").await.payload).body.as_ref(), b"to all three");
    assert_eq!(carol.recv_on("c/").await.payload, b"to all three");

    let asked = Instant::now();
    remove(&world, &cid, "carol").await;
    let told = payload::control(&carol.recv_on("x").await);
    assert!(asked.elapsed() < Duration::from_secs(1), "cut after {:?}", asked.elapsed());
    assert_eq!((told.kind, told.conversation_id), (1, payload::cid_bytes(&cid).into()));
    alice.publish(&topic, b"to the two of us").await;
    let own = format!("s/{cid}");
    assert_eq!(carol.publish(&own, &payload::send("k", b"still here?")).await.code, 0x87);
    assert_eq!(carol.subscribe_with(&[(&topic, 1), (&format!("m/{cid}"), 1)]).await, [0x87, 0x87]);
    assert_eq!(payload::entry(&bob.recv().await.payload).body.as_ref(), b"to all three");
    let change = payload::entry(&bob.recv().await.payload);
    let membership = change.membership.expect("the log tells of it");
    assert_eq!(membership.change, Change::Removed as i32);
    assert_eq!((membership.users, membership.group_version), (vec!["carol".to_owned()], 2));
    assert_eq!(payload::entry(&bob.recv().await.payload).body.as_ref(), b"to the two of us");
    carol.publish("u/carol/marker", b"").await;
    assert_eq!(carol.recv_on("u/").await.topic, "u/carol/marker");
    assert_eq!(carol.left(), Vec::<String>::new(), "nothing after the removal");

    // A device that was away finds nothing of it either; not even what came before the removal
    // is its user's to read any more.
    let (mut away, present) = world.kept(Version::V3, "carol", "laptop").await;
    assert!(present);
    away.subscribe("u/carol/#").await;
    away.publish("u/carol/marker", b"").await;
    assert_eq!(away.recv().await.topic, "u/carol/marker");
    let path = format!("/v1/conversations/{cid}/messages");
    let token = world.token("carol", "phone").await;
    assert_eq!(world.server.ask("GET", &path, &token, None).await.status, 404);
}

async fn a_new_member_sees_what_comes_from_then_on(world: World) {
    let cid = world.server.create("group", &["alice", "bob"]).await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let (topic, stale) =
        (format!("s/{cid}"), payload::custom("k2", b"x", |s| s.group_version = Some(1)));
    alice.publish(&topic, &payload::send("k1", b"before dave")).await;
    // dave listens to all of his conversations before he has one.
    let mut dave = world.probe(Version::V5, "dave", "phone").await;
    dave.subscribe("m/#").await;
    add(&world, &cid, "dave").await;
    let answer = alice.publish(&topic, &stale).await;
    assert_eq!((answer.code, answer.properties.user("gv")), (0x83, Some("2")));
    alice.publish(&topic, &payload::send("k3", b"hello dave")).await;
    let joined = payload::entry(&dave.recv().await.payload);
    assert_eq!(joined.seq, 3);
    assert_eq!(joined.membership.expect("his own joining").users, ["dave"]);
    let hello = payload::entry(&dave.recv().await.payload);
    assert_eq!((hello.seq, hello.body.as_ref()), (4, &b"hello dave"[..]));
    assert_eq!(dave.publish(&topic, &payload::send("k", b"hi")).await.code, 0);
}

#[tokio::test]
async fn a_race_of_sends_against_a_removal_has_one_border() {
    let world = World::new().await;
    let cid = world.server.create("group", &["alice", "bob", "carol"]).await;
    let mut carol = world.probe(Version::V5, "carol", "phone").await;
    carol.subscribe("m/#").await;
    carol.subscribe("x").await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let topic = format!("s/{cid}");
    let sending = async {
        for n in 0..300 {
            let answer = alice.publish(&topic, &payload::send(&format!("k{n}"), b"x")).await;
            assert_eq!(answer.code, 0);
        }
    };
    tokio::join!(sending, remove(&world, &cid, "carol"));
    // What she got is the log up to the removal, then the word that it is over, then nothing.
    let mut seen = 1;
    loop {
        let got = carol.recv().await;
        if got.topic == "x" {
            break;
        }
        let entry = payload::entry(&got.payload);
        seen += 1;
        assert_eq!(entry.seq, seen);
        assert!(entry.membership.is_none(), "nothing from the removal on");
    }
    assert!(seen < 301, "the removal fell into the sends");
    carol.subscribe("u/carol/#").await;
    carol.publish("u/carol/marker", b"").await;
    assert_eq!(carol.recv().await.topic, "u/carol/marker");
}

#[tokio::test]
async fn a_removal_is_told_also_where_nothing_was_said_before() {
    let world = World::new().await;
    let cid = world.server.create("group", &["alice", "bob", "carol"]).await;
    let mut carol = world.probe(Version::V5, "carol", "phone").await;
    carol.subscribe("m/#").await;
    carol.subscribe("x").await;
    remove(&world, &cid, "carol").await;
    let told = payload::control(&carol.recv().await);
    assert_eq!(told.conversation_id, payload::cid_bytes(&cid));
}

/// The first words of many conversations at the moment when their members change: whoever listens
/// to all of them gets each log whole and in order.
#[tokio::test]
async fn fresh_conversations_lose_nothing_while_their_members_change() {
    const GROUPS: usize = 24;
    const SENDS: u64 = 5;
    let world = World::new().await;
    let mut cids = Vec::new();
    for _ in 0..GROUPS {
        cids.push(world.server.create("group", &["alice", "bob"]).await);
    }
    let mut bob = world.probe(Version::V5, "bob", "phone").await;
    bob.subscribe("m/#").await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    for cid in &cids {
        let topic = format!("s/{cid}");
        let sending = async {
            let mut packets = Vec::new();
            for n in 0..SENDS {
                let payload = payload::send(&format!("k{n}"), b"x");
                packets.push(alice.start_publish(&topic, &payload, Properties::none()).await);
            }
            for packet in packets {
                assert_eq!(alice.answer(packet).await.code, 0);
            }
        };
        tokio::join!(sending, add(&world, cid, "carol"));
    }
    let mut places: HashMap<String, u64> = HashMap::new();
    for _ in 0..GROUPS as u64 * (SENDS + 1) {
        let got = bob.recv().await;
        let seq = payload::entry(&got.payload).seq;
        let place = places.entry(got.topic.clone()).or_insert(1);
        *place += 1;
        assert_eq!(seq, *place, "{}", got.topic);
    }
    assert_eq!(places.len(), GROUPS);
}
