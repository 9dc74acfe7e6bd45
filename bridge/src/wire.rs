//! Between the core's types and the wire's: entries, fates and control as MQTT messages.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use bytestring::ByteString;
use godwit_core::cursor::Feed;
use godwit_core::edge::{Message, Properties};
use godwit_core::entry::{Entry, EntryKind};
use godwit_core::ids::ConversationId;
use godwit_core::membership::Direction;
use godwit_proto::conversation::v1 as wire;
use prost::Message as _;

/// An entry as the wire shows it. The body is left out when it is not to be delivered any more.
pub(crate) fn entry_to_wire(entry: &Entry, now_ms: u64) -> wire::Entry {
    let live = entry.is_live(now_ms);
    let membership = entry.membership().map(|change| wire::Membership {
        change: match change.direction {
            Direction::Added => wire::membership::Change::Added,
            Direction::Removed => wire::membership::Change::Removed,
        } as i32,
        users: change.users.iter().map(ToString::to_string).collect(),
        group_version: change.group_version,
    });
    let kind = match entry.kind {
        EntryKind::Message => wire::EntryType::Message,
        EntryKind::Membership => wire::EntryType::Membership,
    };
    wire::Entry {
        seq: entry.seq.0,
        chain: Bytes::copy_from_slice(entry.chain.wire()),
        r#type: kind as i32,
        sender: entry.sender.to_string(),
        device: entry.device.to_string(),
        time_ms: entry.time_ms,
        body: if live && membership.is_none() { entry.body.clone() } else { Bytes::new() },
        message_id: Bytes::copy_from_slice(entry.message_id.as_bytes()),
        reply_to: entry.reply_to.map_or(0, |seq| seq.0),
        membership,
        body_gone: !live,
    }
}

/// An entry as messages, made at most once each and shared by all receivers.
pub(crate) struct Rendered<'a> {
    entry: &'a Entry,
    now_ms: u64,
    log: OnceLock<Arc<Message>>,
    plain: OnceLock<Arc<Message>>,
}

impl<'a> Rendered<'a> {
    pub(crate) fn new(entry: &'a Entry, now_ms: u64) -> Self {
        Self { entry, now_ms, log: OnceLock::new(), plain: OnceLock::new() }
    }

    pub(crate) fn entry(&self) -> &Entry {
        self.entry
    }

    /// Whether the feed shows the entry at all: plain clients see live bodies of messages only.
    pub(crate) fn is_shown(&self, feed: Feed) -> bool {
        feed == Feed::Log
            || (self.entry.kind == EntryKind::Message && self.entry.is_live(self.now_ms))
    }

    pub(crate) fn message(&self, feed: Feed) -> Arc<Message> {
        match feed {
            Feed::Log => Arc::clone(self.log.get_or_init(|| Arc::new(self.render_log()))),
            Feed::Plain => Arc::clone(self.plain.get_or_init(|| Arc::new(self.render_plain()))),
        }
    }

    fn render_log(&self) -> Message {
        let payload = entry_to_wire(self.entry, self.now_ms).encode_to_vec();
        Message {
            topic: topic("m", self.entry.conversation),
            payload: payload.into(),
            properties: None,
        }
    }

    fn render_plain(&self) -> Message {
        let entry = self.entry;
        let user = vec![
            ("seq".into(), entry.seq.to_string().into()),
            ("from".into(), entry.sender.to_string().into()),
            ("mid".into(), entry.message_id.to_string().into()),
            ("ts".into(), entry.time_ms.to_string().into()),
        ];
        let expiry_s = entry.expires_ms.map(|at| {
            u32::try_from(at.saturating_sub(self.now_ms).div_ceil(1000)).unwrap_or(u32::MAX)
        });
        Message {
            topic: topic("c", entry.conversation),
            payload: entry.body.clone(),
            properties: Some(Box::new(Properties { user, expiry_s, ..Properties::default() })),
        }
    }
}

fn topic(head: &str, conversation: ConversationId) -> ByteString {
    format!("{head}/{conversation}").into()
}

/// A protobuf message on a topic.
pub(crate) fn message(topic: &'static str, payload: &impl prost::Message) -> Arc<Message> {
    Arc::new(Message {
        topic: ByteString::from_static(topic),
        payload: payload.encode_to_vec().into(),
        properties: None,
    })
}
