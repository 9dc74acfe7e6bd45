//! Between the core's types and the wire's: entries, fates and control as MQTT messages.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use bytestring::ByteString;
use godwit_core::change::{Change, DetailsChange};
use godwit_core::cursor::Feed;
use godwit_core::edge::{Message, Properties};
use godwit_core::entry::{Entry, EntryKind};
use godwit_core::ids::{ConversationId, UserId};
use godwit_core::membership::{ConversationKind, History, Role};
use godwit_proto::conversation::v1 as wire;
use prost::Message as _;

/// An entry as the wire shows it. The body is left out when it is not to be delivered any more.
pub(crate) fn entry_to_wire(entry: &Entry, now_ms: u64) -> wire::Entry {
    let live = entry.is_live(now_ms);
    let (membership, details) = match entry.change() {
        None => (None, None),
        Some(Change::Details(details)) => (None, Some(details_to_wire(details))),
        Some(Change::Created { kind, count, members, details }) => {
            let set = details != DetailsChange::default();
            let created = created_to_wire(kind, count, &members);
            (Some(created), set.then(|| details_to_wire(details)))
        }
        Some(change) => (membership_to_wire(change), None),
    };
    let shown = live && !entry.kind.is_change();
    wire::Entry {
        seq: entry.seq.0,
        chain: Bytes::copy_from_slice(entry.chain.wire()),
        // The codes are the wire's numbers.
        r#type: i32::from(entry.kind.code()),
        sender: entry.sender.to_string(),
        device: entry.device.to_string(),
        time_ms: entry.time_ms,
        body: if shown { entry.body.clone() } else { Bytes::new() },
        message_id: Bytes::copy_from_slice(entry.message_id.as_bytes()),
        reply_to: entry.reply_to.map_or(0, |seq| seq.0),
        membership,
        body_gone: !live,
        target: entry.target.map_or(0, |seq| seq.0),
        mentions: entry.mentions.iter().map(ToString::to_string).collect(),
        details,
        expires_ms: entry.expires_ms.unwrap_or(0),
        number: entry.number,
    }
}

fn membership_to_wire(change: Change) -> Option<wire::Membership> {
    use wire::membership::Change as Wire;
    let names = |users: Vec<UserId>| users.iter().map(ToString::to_string).collect();
    Some(match change {
        Change::Added { group_version, users, role, first_tag } => wire::Membership {
            change: Wire::Added as i32,
            users: names(users),
            group_version,
            role: role_to_wire(role) as i32,
            first_tag,
            ..wire::Membership::default()
        },
        Change::Removed { group_version, users } => wire::Membership {
            change: Wire::Removed as i32,
            users: names(users),
            group_version,
            ..wire::Membership::default()
        },
        Change::Roles { group_version, roles } => wire::Membership {
            change: Wire::Roles as i32,
            users: roles.iter().map(|(user, _)| user.to_string()).collect(),
            group_version,
            roles: roles_to_wire(&roles),
            ..wire::Membership::default()
        },
        Change::Created { .. } | Change::Details(_) => return None,
    })
}

fn created_to_wire(
    kind: ConversationKind,
    count: usize,
    members: &[(UserId, Role)],
) -> wire::Membership {
    wire::Membership {
        change: wire::membership::Change::Created as i32,
        users: members.iter().map(|(user, _)| user.to_string()).collect(),
        group_version: 1,
        first_tag: 1,
        roles: roles_to_wire(members),
        direct: kind == ConversationKind::Direct,
        member_count: u32::try_from(count).unwrap_or(u32::MAX),
        ..wire::Membership::default()
    }
}

fn roles_to_wire(roles: &[(UserId, Role)]) -> Vec<wire::MemberRole> {
    let role = |(user, role): &(UserId, Role)| wire::MemberRole {
        user: user.to_string(),
        role: role_to_wire(*role) as i32,
    };
    roles.iter().map(role).collect()
}

fn details_to_wire(details: DetailsChange) -> wire::Details {
    wire::Details {
        title: details.title,
        description: details.description,
        history: details.history.map_or(wire::History::Unspecified, history_to_wire) as i32,
        expiry_s: details.expiry_s,
        replaces: details.replaces.iter().map(|seq| seq.0).collect(),
        concurrent: details.concurrent,
    }
}

/// A role on the wire.
pub(crate) const fn role_to_wire(role: Role) -> wire::Role {
    match role {
        Role::Owner => wire::Role::Owner,
        Role::Admin => wire::Role::Admin,
        Role::Member => wire::Role::Member,
        Role::ReadOnly => wire::Role::ReadOnly,
    }
}

/// A history setting on the wire.
pub(crate) const fn history_to_wire(history: History) -> wire::History {
    match history {
        History::FromJoin => wire::History::FromJoin,
        History::All => wire::History::All,
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
            // Entries go out on the feeds of logs only.
            Feed::Plain | Feed::Control | Feed::Own => {
                Arc::clone(self.plain.get_or_init(|| Arc::new(self.render_plain())))
            }
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
