//! From what a store's columns hold back to the core's types.
//!
//! Only valid values are ever written, so one that does not read is a store that was changed by
//! another hand: [`Error::Broken`].

use bytes::Bytes;

use crate::cursor::Subscription;
use crate::entry::{ChainHash, Entry, EntryKind};
use crate::ids::{ConversationId, DeviceId, MessageId, Seq, UserId};
use crate::membership::{
    Conversation, ConversationKind, Details, History, Left, Member, Role, Stay,
};
use crate::store::Error;

mod item;
mod people;

pub use item::{ItemColumns, marks};
pub use people::{DeviceColumns, NoticeColumns, UserColumns};

/// What a store says in the log of cursors that it takes back.
pub const ABOVE_HEAD: &str = "cursors stood above the end of their logs and were taken back to it: the \
                              database has lost what it had acknowledged";

/// The error for a column that does not hold what was written to it.
#[must_use]
pub fn broken(column: &'static str) -> Error {
    Error::Broken(format!("the stored {column} is not valid").into())
}

/// A stored number that is never negative.
pub fn unsigned(column: &'static str, value: i64) -> Result<u64, Error> {
    u64::try_from(value).map_err(|_| broken(column))
}

/// A number for a signed 64-bit column. What is beyond it (a time 292 million years away) becomes
/// the highest.
#[must_use]
pub fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A stored place.
pub fn seq(value: i64) -> Result<Seq, Error> {
    unsigned("seq", value).map(Seq)
}

/// A stored chain hash.
pub fn chain(bytes: &[u8]) -> Result<ChainHash, Error> {
    bytes.try_into().map(ChainHash).map_err(|_| broken("chain"))
}

/// A stored conversation id.
pub fn conversation_id(bytes: &[u8]) -> Result<ConversationId, Error> {
    ConversationId::from_slice(bytes).map_err(|_| broken("conversation id"))
}

/// A stored message id.
pub fn message_id(bytes: &[u8]) -> Result<MessageId, Error> {
    MessageId::from_slice(bytes).map_err(|_| broken("message id"))
}

/// A stored user id.
pub fn user(text: &str) -> Result<UserId, Error> {
    UserId::from_stored(text).map_err(|_| broken("user id"))
}

/// A stored device id.
pub fn device(text: &str) -> Result<DeviceId, Error> {
    DeviceId::from_stored(text).map_err(|_| broken("device id"))
}

/// The code of a kind, a role or a feed.
fn code<T>(column: &'static str, value: i64, from: fn(u8) -> Option<T>) -> Result<T, Error> {
    u8::try_from(value).ok().and_then(from).ok_or_else(|| broken(column))
}

/// The columns of an entry.
#[derive(Debug)]
pub struct EntryColumns {
    /// Its place.
    pub seq: i64,
    /// 16 bytes.
    pub message_id: Vec<u8>,
    /// [`EntryKind::code`].
    pub kind: i64,
    /// A user id.
    pub sender: String,
    /// A device id.
    pub device: String,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// 16 bytes.
    pub chain: Vec<u8>,
    /// A place.
    pub reply_to: Option<i64>,
    /// A place.
    pub target_seq: Option<i64>,
    /// User ids with a space between; `None`: nobody.
    pub mentions: Option<String>,
    /// Messages up to and with this entry.
    pub number: i64,
    /// Milliseconds since 1970.
    pub expires_ms: Option<i64>,
    /// The body was removed.
    pub body_gone: bool,
    /// Opaque.
    pub body: Vec<u8>,
}

impl EntryColumns {
    /// The entry.
    pub fn entry(self, conversation: ConversationId) -> Result<Entry, Error> {
        Ok(Entry {
            conversation,
            seq: seq(self.seq)?,
            chain: chain(&self.chain)?,
            kind: code("entry kind", self.kind, EntryKind::from_code)?,
            message_id: message_id(&self.message_id)?,
            sender: user(&self.sender)?,
            device: device(&self.device)?,
            time_ms: unsigned("time", self.time_ms)?,
            body: Bytes::from(self.body),
            reply_to: self.reply_to.map(seq).transpose()?,
            target: self.target_seq.map(seq).transpose()?,
            mentions: mentions(self.mentions.as_deref())?,
            number: unsigned("number", self.number)?,
            expires_ms: self.expires_ms.map(|at| unsigned("expiry", at)).transpose()?,
            body_gone: self.body_gone,
        })
    }
}

/// The users of a stored list.
pub fn mentions(text: Option<&str>) -> Result<Vec<UserId>, Error> {
    text.map_or_else(|| Ok(Vec::new()), |text| text.split(' ').map(user).collect())
}

/// A list of users as stored; `None` when it is empty. User ids hold no space.
#[must_use]
pub fn mentions_text(users: &[UserId]) -> Option<String> {
    let names: Vec<&str> = users.iter().map(UserId::as_str).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

/// The columns of a conversation.
#[derive(Debug)]
pub struct ConversationColumns {
    /// 16 bytes.
    pub id: Vec<u8>,
    /// [`ConversationKind::code`].
    pub kind: i64,
    /// A place.
    pub head_seq: i64,
    /// 16 bytes.
    pub head_chain: Vec<u8>,
    /// From 1.
    pub group_version: i64,
    /// Messages in the log.
    pub number: i64,
    /// A place.
    pub active_seq: i64,
    /// Milliseconds since 1970.
    pub active_ms: i64,
    /// Seconds.
    pub expiry_s: Option<i64>,
    /// From 1.
    pub next_tag: i64,
    /// [`History::code`].
    pub history: i64,
    /// May be empty.
    pub title: String,
    /// A place.
    pub title_seq: i64,
    /// May be empty.
    pub description: String,
    /// A place.
    pub description_seq: i64,
    /// A place.
    pub changed_seq: i64,
}

impl ConversationColumns {
    /// The conversation, with the members given (ordered by user id).
    pub fn conversation(self, members: Vec<Member>) -> Result<Conversation, Error> {
        Ok(Conversation {
            id: conversation_id(&self.id)?,
            kind: code("conversation kind", self.kind, ConversationKind::from_code)?,
            head_seq: seq(self.head_seq)?,
            head_chain: chain(&self.head_chain)?,
            group_version: unsigned("group version", self.group_version)?,
            number: unsigned("number", self.number)?,
            active_seq: seq(self.active_seq)?,
            active_ms: unsigned("activity", self.active_ms)?,
            details: Details {
                title: self.title,
                title_seq: seq(self.title_seq)?,
                description: self.description,
                description_seq: seq(self.description_seq)?,
                history: code("history setting", self.history, History::from_code)?,
                expiry_s: expiry_s(self.expiry_s)?,
                changed_seq: seq(self.changed_seq)?,
            },
            next_tag: tag(self.next_tag)?,
            members,
        })
    }
}

/// A stored setting for disappearing messages.
pub fn expiry_s(value: Option<i64>) -> Result<Option<u32>, Error> {
    value.map(|s| u32::try_from(s).map_err(|_| broken("expiry"))).transpose()
}

/// A stored tag.
pub fn tag(value: i64) -> Result<u32, Error> {
    u32::try_from(value).map_err(|_| broken("tag"))
}

/// A stored role.
pub fn role(value: i64) -> Result<Role, Error> {
    code("role", value, Role::from_code)
}

/// A stored kind of conversation.
pub fn conversation_kind(value: i64) -> Result<ConversationKind, Error> {
    code("conversation kind", value, ConversationKind::from_code)
}

/// A stored kind of entry.
pub fn entry_kind(value: i64) -> Result<EntryKind, Error> {
    code("entry kind", value, EntryKind::from_code)
}

/// The columns of a member.
#[derive(Debug)]
pub struct MemberColumns {
    /// A user id.
    pub user_id: String,
    /// [`Role::code`].
    pub role: i64,
    /// A place.
    pub joined_seq: i64,
    /// A place.
    pub visible_seq: i64,
    /// From 1.
    pub tag: i64,
    /// See [`Member::blocked`].
    pub blocked: bool,
}

impl MemberColumns {
    /// The member.
    pub fn member(self) -> Result<Member, Error> {
        Ok(Member {
            user: user(&self.user_id)?,
            role: role(self.role)?,
            joined_seq: seq(self.joined_seq)?,
            visible_seq: seq(self.visible_seq)?,
            tag: tag(self.tag)?,
            blocked: self.blocked,
        })
    }

    /// The member's stay, which the entry at `left_seq` ends, if it is over.
    pub fn stay(self, left_seq: Option<i64>) -> Result<Stay, Error> {
        Ok(Stay { member: self.member()?, left_seq: left_seq.map(seq).transpose()? })
    }
}

/// The columns of a conversation that a user has left.
#[derive(Debug)]
pub struct LeftColumns {
    /// 16 bytes.
    pub conversation_id: Vec<u8>,
    /// A place.
    pub left_seq: i64,
    /// Milliseconds since 1970.
    pub left_ms: i64,
    /// A user id.
    pub by_id: String,
    /// May be empty.
    pub title: String,
}

impl LeftColumns {
    /// What the inbox lists.
    pub fn left(self) -> Result<Left, Error> {
        Ok(Left {
            conversation: conversation_id(&self.conversation_id)?,
            title: self.title,
            left_seq: seq(self.left_seq)?,
            left_ms: unsigned("time", self.left_ms)?,
            by: user(&self.by_id)?,
        })
    }
}

/// A subscription of a kept session.
pub fn subscription(
    filter: String,
    options: i64,
    identifier: Option<i64>,
) -> Result<Subscription, Error> {
    Ok(Subscription {
        filter,
        options: u8::try_from(options).map_err(|_| broken("subscription options"))?,
        identifier: identifier
            .map(|id| u32::try_from(id).map_err(|_| broken("subscription identifier")))
            .transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_written_is_broken_and_no_panic() {
        let whole = || EntryColumns {
            seq: 1,
            message_id: vec![1; 16],
            kind: 1,
            sender: "alice".to_owned(),
            device: "d".to_owned(),
            time_ms: 1,
            chain: vec![0; 16],
            reply_to: None,
            target_seq: None,
            mentions: None,
            number: 1,
            expires_ms: None,
            body_gone: false,
            body: vec![],
        };
        let id = ConversationId([1; 16]);
        assert!(whole().entry(id).is_ok());
        for bad in [
            EntryColumns { seq: -1, ..whole() },
            EntryColumns { message_id: vec![1; 15], ..whole() },
            EntryColumns { kind: 99, ..whole() },
            EntryColumns { kind: 257, ..whole() },
            EntryColumns { sender: "a/b".to_owned(), ..whole() },
            EntryColumns { chain: vec![], ..whole() },
            EntryColumns { expires_ms: Some(-5), ..whole() },
        ] {
            assert!(matches!(bad.entry(id), Err(Error::Broken(_))));
        }
        assert_eq!(signed(u64::MAX), i64::MAX);
    }
}
