//! The protobuf payloads of devices.

use godwit_core::ids::{ConversationId, MessageId};
use godwit_proto::conversation::v1::{Control, Entry, Fate, Fates, Send};
use godwit_testkit::wire::Publish;
use prost::Message as _;

/// A send's payload.
pub(crate) fn send(cmid: &str, body: &[u8]) -> Vec<u8> {
    custom(cmid, body, |_| {})
}

/// A send's payload with something more.
pub(crate) fn custom(cmid: &str, body: &[u8], more: impl FnOnce(&mut Send)) -> Vec<u8> {
    let mut send = Send { cmid: cmid.to_owned(), body: body.to_vec().into(), ..Send::default() };
    more(&mut send);
    send.encode_to_vec()
}

/// The log entry of a delivery on `m/...`.
pub(crate) fn entry(payload: &[u8]) -> Entry {
    Entry::decode(payload).expect("an entry")
}

/// The fates of a delivery on `a`.
pub(crate) fn fates(publish: &Publish) -> Vec<Fate> {
    assert_eq!(publish.topic, "a");
    Fates::decode(publish.payload.as_slice()).expect("fates").fates
}

/// What a delivery on `x` says.
pub(crate) fn control(publish: &Publish) -> Control {
    assert_eq!(publish.topic, "x");
    Control::decode(publish.payload.as_slice()).expect("a control message")
}

/// A message id as PUBACKs and REST write it.
pub(crate) fn mid(bytes: &[u8]) -> String {
    MessageId::from_slice(bytes).expect("16 bytes").to_string()
}

/// The bytes of a conversation id.
pub(crate) fn cid_bytes(cid: &str) -> Vec<u8> {
    cid.parse::<ConversationId>().expect("a conversation id").as_bytes().to_vec()
}
