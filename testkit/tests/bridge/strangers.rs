//! What a stranger's questions cost.

use std::sync::Arc;

use bytes::Bytes;
use godwit_bridge::Options;
use godwit_core::edge::{Begun, Code, Message, Outcome, Publish, Qos};
use godwit_proto::group::v1::group_request::Ask;
use godwit_proto::group::v1::{Add, Get, GroupRequest};
use godwit_proto::presence::v1::{Presence, Typing};
use godwit_proto::receipt::v1::{Receipt, Receipts};
use godwit_proto::sync::v1::{HistoryRequest, SyncRequest};
use prost::Message as _;

use super::devices::{Device, Fate};
use super::faulty::Faulty;
use super::{World, identity, subscribe, world_with};

async fn publish(device: &Arc<Device>, begun: &Begun, topic: &str, payload: Vec<u8>) -> Outcome {
    let message = Message { topic: topic.into(), payload: payload.into(), properties: None };
    let (ticket, ack) = device.expect();
    begun.session.publish(Publish { message, qos: Qos::AtLeastOnce, retain: false }, ack);
    match device.fate(ticket).await {
        Fate::Other(outcome) => outcome,
        Fate::Committed { .. } => panic!("{topic} of a stranger was committed"),
    }
}

/// Everything that names a conversation, by one who is no member: (topic, payload).
fn questions(world: &World) -> Vec<(String, Vec<u8>)> {
    let cid = world.conversation;
    let id = || Bytes::copy_from_slice(cid.as_bytes());
    let group = |ask| GroupRequest { conversation_id: id(), ask: Some(ask), ..Default::default() };
    let receipt = Receipt { conversation_id: id(), delivered: 1, read: 1 };
    vec![
        (format!("s/{cid}"), godwit_proto::conversation::v1::Send::default().encode_to_vec()),
        (format!("c/{cid}/k"), b"x".to_vec()),
        (format!("t/{cid}"), Typing::default().encode_to_vec()),
        ("r".to_owned(), Receipts { receipts: vec![receipt] }.encode_to_vec()),
        ("p".to_owned(), Presence { open: vec![id()], ..Presence::default() }.encode_to_vec()),
        ("q/groups".to_owned(), group(Ask::Get(Get::default())).encode_to_vec()),
        ("q/groups".to_owned(), group(Ask::Add(Add::default())).encode_to_vec()),
        (
            "q/history".to_owned(),
            HistoryRequest { conversation_id: id(), ..HistoryRequest::default() }.encode_to_vec(),
        ),
        (
            "q/sync".to_owned(),
            SyncRequest { conversation_id: id(), ..SyncRequest::default() }.encode_to_vec(),
        ),
    ]
}

/// Of a conversation of 10,000 members each of these was a reading of 10,000 rows.
#[tokio::test]
async fn a_stranger_is_told_so_by_one_row() {
    let mut made = None;
    let world = world_with(0, Options::default(), |store| {
        let faulty = Faulty::new(store);
        made = Some(Arc::clone(&faulty));
        faulty
    })
    .await;
    let store = made.expect("a store was made");
    let mallory = Device::new(identity("mallory:phone"), 100);
    let begun = world.connect(&mallory, 0).await;
    mallory.attach(&begun.session);
    assert_eq!(begun.session.subscribe(subscribe("q/#")).await, [Code(1)]);
    let cid = world.conversation;
    for round in 0..2 {
        for kind in ["m", "c", "r", "t", "n"] {
            let codes = begun.session.subscribe(subscribe(&format!("{kind}/{cid}"))).await;
            assert_eq!(codes, [Code::NOT_AUTHORIZED], "{kind}");
        }
        for (topic, payload) in questions(&world) {
            let outcome = publish(&mallory, &begun, &topic, payload).await;
            // What is asked on q/ is answered there.
            let answered = topic.starts_with("q/");
            assert_eq!(outcome.code.is_error(), !answered, "{topic}: {outcome:?}");
        }
        assert_eq!(store.whole_reads(), 0, "round {round}");
    }
    // A member's words are another thing.
    let alice = Device::new(identity("alice:phone"), 100);
    let sender = world.connect(&alice, 0).await;
    let payload = Typing::default().encode_to_vec();
    assert_eq!(publish(&alice, &sender, &format!("t/{cid}"), payload).await.code, Code::SUCCESS);
    assert_eq!(store.whole_reads(), 1);
    // Known or not, a stranger's question is no reason to read it again.
    let payload = Typing::default().encode_to_vec();
    let outcome = publish(&mallory, &begun, &format!("t/{cid}"), payload).await;
    assert_eq!((outcome.code, store.whole_reads()), (Code::NOT_AUTHORIZED, 1));
}
