//! Away, and back: exactly what was missed, in order, without asking again.

use godwit_proto::sync::v1::{SyncReply, SyncRequest};
use godwit_testkit::probe::Probe;
use godwit_testkit::wire::{Properties, Value, Version, id};
use prost::Message as _;

use super::payload;
use super::world::{BOTH, World};

on_both_stores!(
    a_kept_session_gets_exactly_what_it_missed,
    what_was_not_acknowledged_comes_again,
    sync_pages_through_a_log,
);

/// Sends `count` messages as alice's phone; bodies are `name-0`, `name-1` ...
async fn send_many(world: &World, name: &str, count: u32) {
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    for chunk in (0..count).collect::<Vec<_>>().chunks(32) {
        let mut packets = Vec::new();
        for n in chunk {
            let body = format!("{name}-{n}");
            let packet =
                alice.start_publish(&world.keyed(&body), body.as_bytes(), Properties::none()).await;
            packets.push(packet);
        }
        for packet in packets {
            assert_eq!(alice.answer(packet).await.code, 0);
        }
    }
    alice.disconnect(0).await;
}

async fn expect_entries(device: &mut Probe, name: &str, count: u32, first_seq: u64) {
    for n in 0..count {
        let entry = payload::entry(&device.recv_on("m/").await.payload);
        assert_eq!(entry.seq, first_seq + u64::from(n));
        assert_eq!(entry.body, format!("{name}-{n}"));
    }
}

async fn a_kept_session_gets_exactly_what_it_missed(world: World) {
    let mut head = 0;
    for version in BOTH {
        let (mut bob, present) = world.kept(version, "bob", "phone").await;
        assert!(!present);
        bob.subscribe("m/#").await;
        let name = format!("live{version:?}");
        send_many(&world, &name, 3).await;
        expect_entries(&mut bob, &name, 3, head + 1).await;
        bob.disconnect(0).await;
        // More than a page of the log, more than any queue of a connection.
        let name = format!("missed{version:?}");
        send_many(&world, &name, 700).await;
        let (mut bob, present) = world.kept(version, "bob", "phone").await;
        assert!(present, "the session was kept");
        expect_entries(&mut bob, &name, 700, head + 4).await;
        bob.disconnect(0).await;
        // And not once more.
        let (mut bob, present) = world.kept(version, "bob", "phone").await;
        assert!(present);
        send_many(&world, &format!("then{version:?}"), 1).await;
        expect_entries(&mut bob, &format!("then{version:?}"), 1, head + 704).await;
        assert_eq!(bob.left(), Vec::<String>::new());
        head += 704;
        // A clean start forgets it, for the next version.
        let clean = world.probe(version, "bob", "phone").await;
        clean.disconnect(0).await;
    }
}

async fn what_was_not_acknowledged_comes_again(world: World) {
    let (mut bob, _) = world.kept(Version::V5, "bob", "phone").await;
    bob.subscribe("m/#").await;
    bob.acknowledge = false;
    send_many(&world, "n", 10).await;
    for n in 0..10 {
        assert_eq!(payload::entry(&bob.recv().await.payload).seq, n + 1);
    }
    bob.cut();
    let (mut bob, present) = world.kept(Version::V5, "bob", "phone").await;
    assert!(present);
    expect_entries(&mut bob, "n", 10, 1).await;
    bob.disconnect(0).await;
    let (mut bob, _) = world.kept(Version::V5, "bob", "phone").await;
    send_many(&world, "marker", 1).await;
    expect_entries(&mut bob, "marker", 1, 11).await;
}

#[tokio::test]
async fn a_plain_subscription_is_a_cursor_too() {
    let world = World::new().await;
    for version in BOTH {
        let (mut bob, _) = world.kept(version, "bob", "phone").await;
        bob.subscribe(&world.c()).await;
        bob.disconnect(0).await;
        let name = format!("c{version:?}");
        send_many(&world, &name, 250).await;
        let (mut bob, present) = world.kept(version, "bob", "phone").await;
        assert!(present);
        for n in 0..250 {
            assert_eq!(bob.recv().await.payload, format!("{name}-{n}").into_bytes());
        }
        bob.disconnect(0).await;
        world.probe(version, "bob", "phone").await.disconnect(0).await;
    }
}

#[tokio::test]
async fn a_session_that_expired_is_gone() {
    let world = World::new().await;
    let hello = world.hello(Version::V5, "bob", "phone").await;
    let mut short = hello.clone().with(id::SESSION_EXPIRY, Value::Four(1));
    short.clean = false;
    let (mut bob, _) = Probe::connect(&world.mqtt(), &short).await;
    bob.subscribe("m/#").await;
    bob.disconnect(0).await;
    // The time itself is what is tested.
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    let (_bob, present) = world.kept(Version::V5, "bob", "phone").await;
    assert!(!present, "a second was a second");
}

/// Asks on `q/sync`; the reply comes where MQTT 5 says, or on `q/sync`.
async fn sync(probe: &mut Probe, request: &SyncRequest) -> SyncReply {
    let properties = match probe.version() {
        Version::V3 => Properties::none(),
        Version::V5 => Properties::none()
            .with(id::RESPONSE_TOPIC, Value::Text(b"q/sync".to_vec()))
            .with(id::CORRELATION_DATA, Value::Text(b"corr".to_vec())),
    };
    let packet = probe.start_publish("q/sync", &request.encode_to_vec(), properties).await;
    assert_eq!(probe.answer(packet).await.code, 0);
    let got = probe.recv_on("q/sync").await;
    if probe.version() == Version::V5 {
        let correlation = got.properties.get(id::CORRELATION_DATA);
        assert_eq!(correlation, Some(&Value::Text(b"corr".to_vec())));
    }
    SyncReply::decode(got.payload.as_slice()).expect("a reply")
}

async fn sync_pages_through_a_log(world: World) {
    send_many(&world, "n", 230).await;
    for version in BOTH {
        let mut bob = world.probe(version, "bob", "phone").await;
        bob.subscribe("q/#").await;
        let conversation_id = payload::cid_bytes(&world.cid);
        let mut page = SyncRequest {
            id: 7,
            conversation_id: conversation_id.clone().into(),
            ..SyncRequest::default()
        };
        let mut seen = 0;
        let mut pages = 0;
        while seen < 230 {
            let reply = sync(&mut bob, &page).await;
            assert_eq!((reply.id, reply.code, reply.head_seq), (7, 0, 230));
            assert!(!reply.diverged && !reply.entries.is_empty());
            for entry in &reply.entries {
                seen += 1;
                assert_eq!(entry.seq, seen);
                assert_eq!(entry.body, format!("n-{}", seen - 1));
                page.after_chain = entry.chain.clone();
            }
            page.after_seq = seen;
            pages += 1;
        }
        assert_eq!(pages, 3, "a page holds a hundred");
        // Another chain at the same place is noticed.
        page.after_chain = vec![1; 8].into();
        assert!(sync(&mut bob, &page).await.diverged);
        // Without a conversation: the heads of all.
        let reply = sync(&mut bob, &SyncRequest { id: 8, ..SyncRequest::default() }).await;
        assert_eq!((reply.id, reply.heads.len(), reply.more), (8, 1, false));
        assert_eq!(
            (reply.heads[0].conversation_id.to_vec(), reply.heads[0].head_seq),
            (conversation_id, 230)
        );
        // What is not theirs is not there.
        let mut mallory = world.probe(version, "mallory", "phone").await;
        mallory.subscribe("q/#").await;
        let reply =
            sync(&mut mallory, &SyncRequest { after_chain: Vec::new().into(), ..page }).await;
        assert_eq!((reply.code, reply.entries.len()), (0x87, 0));
    }
}
