//! Stage 4's decision: a batch of sends against what the store holds, without any I/O.
//!
//! Both stores do the same three steps in one transaction: load and lock what the batch touches
//! ([`Loaded`]), call [`plan`], write the plan. So idempotency, membership, group version,
//! sequence and chain mean the same on both.

use std::collections::HashMap;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::entry::{ChainHash, Entry, EntryKind};
use crate::ids::{ClientMessageId, ConversationId, Identity, MessageId, Seq, UserId};
use crate::limits::REACTIONS_WINDOW_MS;
use crate::membership::{Conversation, ConversationKind, Role};
use crate::receipt::Cursors;

mod plan;

pub use plan::plan;

/// A validated send, on its way into a log.
#[derive(Debug, Clone)]
pub struct Send {
    /// The conversation.
    pub conversation: ConversationId,
    /// Who sends.
    pub from: Identity,
    /// The idempotency key, together with `from`.
    pub key: SendKey,
    /// The id that the entry gets when it is new.
    pub message_id: MessageId,
    /// What is sent.
    pub act: Act,
    /// Opaque; at most [`crate::limits::BODY_BYTES_MAX`].
    pub body: Bytes,
    /// Refuse when the group version is another.
    pub group_version: Option<u64>,
    /// Refuse when the head's chain is another.
    pub previous_chain: Option<[u8; ChainHash::WIRE_LEN]>,
    /// Milliseconds since 1970 after which the body need not be delivered. Of a message only; the
    /// conversation's own setting may be shorter.
    pub expires_ms: Option<u64>,
    /// Milliseconds since 1970, taken at ingest.
    pub time_ms: u64,
    /// A message that marks its conversation read up to itself, for its sender.
    pub reads: bool,
}

impl Send {
    /// What is asked: everything that the sender chose but the key, the state that it names (a
    /// stale one is refreshed for the same message) and the expiry (a client may count it down).
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let (reply_to, mentions): (u64, &[UserId]) = match &self.act {
            Act::Message { reply_to, mentions } => (reply_to.map_or(0, |seq| seq.0), mentions),
            Act::Edit { mentions, .. } => (0, mentions),
            _ => (0, &[]),
        };
        let target = self.act.target().map_or(0, |seq| seq.0);
        let (reply_to, target) = (reply_to.to_be_bytes(), target.to_be_bytes());
        let kind = [self.act.kind().code()];
        let first = [&kind[..], &reply_to, &target, &self.body];
        Fingerprint::of(first.into_iter().chain(mentions.iter().map(|u| u.as_str().as_bytes())))
    }
}

/// What a send does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A message.
    Message {
        /// Which entry it answers.
        reply_to: Option<Seq>,
        /// Whom it names; at most [`crate::limits::MENTIONS_MAX`].
        mentions: Vec<UserId>,
    },
    /// A new body for one's own message, and whom it names now in place of whom it named.
    Edit {
        /// The message.
        target: Seq,
        /// As those of a message.
        mentions: Vec<UserId>,
    },
    /// Deletes a message for all. The body is empty.
    Delete {
        /// The message.
        target: Seq,
    },
    /// Reacts, in place of an earlier reaction; an empty body takes it back.
    React {
        /// The message.
        target: Seq,
    },
    /// Pins a message. The body is empty.
    Pin {
        /// The message.
        target: Seq,
    },
    /// Unpins it. The body is empty.
    Unpin {
        /// The message.
        target: Seq,
    },
}

impl Act {
    /// A message that answers nothing and names nobody.
    pub const MESSAGE: Self = Self::Message { reply_to: None, mentions: Vec::new() };

    /// A new body that names nobody.
    #[must_use]
    pub const fn edit(target: Seq) -> Self {
        Self::Edit { target, mentions: Vec::new() }
    }

    /// What the log holds of it.
    #[must_use]
    pub const fn kind(&self) -> EntryKind {
        match self {
            Self::Message { .. } => EntryKind::Message,
            Self::Edit { .. } => EntryKind::Edit,
            Self::Delete { .. } => EntryKind::Deletion,
            Self::React { .. } => EntryKind::Reaction,
            Self::Pin { .. } => EntryKind::Pin,
            Self::Unpin { .. } => EntryKind::Unpin,
        }
    }

    /// The message that it is about; `None`: it is one itself.
    #[must_use]
    pub const fn target(&self) -> Option<Seq> {
        match self {
            Self::Message { .. } => None,
            Self::Edit { target, .. }
            | Self::Delete { target }
            | Self::React { target }
            | Self::Pin { target }
            | Self::Unpin { target } => Some(*target),
        }
    }

    /// From when on earlier entries of this kind, by the same sender about the same message, count
    /// against a send at `time_ms`: reactions for a while, all others for ever.
    #[must_use]
    pub const fn counted_since(&self, time_ms: u64) -> u64 {
        match self {
            Self::React { .. } => time_ms.saturating_sub(REACTIONS_WINDOW_MS),
            _ => 0,
        }
    }
}

/// Told when a key comes again with another request.
pub const KEY_REUSED: &str = "this cmid was used for another message";

/// What was asked under a key, in 8 bytes: a repeated request has the same, another one has not. A
/// clash harms only whoever made both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub i64);

impl Fingerprint {
    /// Of texts and bytes, each told apart from the next by its length.
    #[must_use]
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut first = [0; 8];
        first.copy_from_slice(&hash.finalize()[..8]);
        Self(i64::from_be_bytes(first))
    }
}

/// What makes a repeated send the same one.
///
/// The key is scoped by its conversation in the store, so that a log and its keys stay together
/// when the schema is distributed by conversation (docs/adr/0002).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SendKey {
    /// Chosen by the client.
    Client(ClientMessageId),
    /// Chosen by the client for a change of the conversation (`q/groups`): apart from its sends.
    Change(ClientMessageId),
    /// Given by the bridge to a send without one: it makes the bridge's own retries of an
    /// uncertain commit safe, not the client's.
    Server(MessageId),
}

impl SendKey {
    /// The stored text. Those that are no client's for a send start with `~`, which none of these can
    /// hold; a message id never does.
    #[must_use]
    pub fn to_stored(&self) -> String {
        match self {
            Self::Client(id) => id.as_str().to_owned(),
            Self::Change(id) => format!("~~{id}"),
            Self::Server(id) => format!("~{id}"),
        }
    }
}

/// Why a stranger may not send; also when there is no such conversation.
pub const NO_MEMBER: &str = "not a member of this conversation";

/// What became of a send. Everything but `Accepted` means that nothing was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Committed, now or by an earlier try.
    Accepted {
        /// The message's id; the first try's when `duplicate`.
        message_id: MessageId,
        /// Its place.
        seq: Seq,
        /// An earlier try had committed it.
        duplicate: bool,
    },
    /// The sender is no member, there is no such conversation, or the role lacks it. Why, for
    /// people.
    Forbidden(&'static str),
    /// The named group version (or head) is not the conversation's.
    StaleGroup {
        /// The version now.
        group_version: u64,
    },
    /// It can never be right.
    Malformed(&'static str),
}

/// The head of a log, locked for the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last place.
    pub seq: Seq,
    /// The chain there.
    pub chain: ChainHash,
    /// The group version.
    pub group_version: u64,
    /// Messages in the log.
    pub number: u64,
    /// The last entry that an inbox shows, and its time.
    pub active: (Seq, u64),
    /// Direct or group.
    pub kind: ConversationKind,
    /// Messages disappear after so many seconds.
    pub expiry_s: Option<u32>,
}

impl Head {
    /// The head of a conversation as it was read.
    #[must_use]
    pub fn of(conversation: &Conversation) -> Self {
        Self {
            seq: conversation.head_seq,
            chain: conversation.head_chain,
            group_version: conversation.group_version,
            number: conversation.number,
            active: (conversation.active_seq, conversation.active_ms),
            kind: conversation.kind,
            expiry_s: conversation.details.expiry_s,
        }
    }
}

/// A sender as a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// May do what.
    pub role: Role,
    /// Entries above this place are theirs to see.
    pub visible_seq: Seq,
    /// May not send in a direct conversation.
    pub blocked: bool,
}

/// What a send that is about a message finds there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Only a message can be edited, deleted, reacted to, pinned.
    pub kind: EntryKind,
    /// Its sender.
    pub sender: UserId,
    /// When it was sent.
    pub time_ms: u64,
    /// When its body goes.
    pub expires_ms: Option<u64>,
    /// Its body is gone already.
    pub gone: bool,
    /// How many entries of the send's own kind the sender has made about it since
    /// [`Act::counted_since`]: edits, reactions. Counted up to [`crate::limits::REPEATS_COUNTED`].
    pub repeats: u32,
    /// How many of them were committed without a body: reactions taken back.
    pub emptied: u32,
    /// It names users, or did by one of its edits.
    pub named: bool,
}

/// Names a committed send: conversation, sender, key as stored.
pub type EarlierKey = (ConversationId, Identity, String);

/// What a store loads (and locks) for a batch before it asks for the plan.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The heads of the batch's conversations; absent: no such conversation.
    pub heads: HashMap<ConversationId, Head>,
    /// Which of the batch's (conversation, sender) are members now, and as what.
    pub members: HashMap<(ConversationId, UserId), Standing>,
    /// What the batch's targets are, by the place of the send in the batch; absent: nothing.
    pub targets: HashMap<usize, Target>,
    /// Which of the batch's keys were committed before, and as what.
    pub earlier: HashMap<EarlierKey, Earlier>,
}

/// A send that was committed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier {
    /// Its id.
    pub message_id: MessageId,
    /// Its place.
    pub seq: Seq,
    /// What was asked; `None`: a version wrote it that did not note that, and nothing is compared.
    pub fingerprint: Option<Fingerprint>,
}

/// The key of a new entry as it is stored, and what was asked under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// See [`SendKey::to_stored`].
    pub text: String,
    /// `None`: a key that nobody can use again.
    pub fingerprint: Option<Fingerprint>,
}

/// What the transaction has to write.
#[derive(Debug, Default)]
pub struct Plan {
    /// One for each send, in order.
    pub fates: Vec<Fate>,
    /// New entries with their stored keys, in the order of the batch.
    pub entries: Vec<(Entry, StoredKey)>,
    /// New heads of the conversations that got entries.
    pub heads: Vec<(ConversationId, Head)>,
    /// Whom edited messages name now, the sender left out, each once: after the entries are written,
    /// these rows stand in place of all that there were for the message.
    pub renamed: Vec<(ConversationId, Seq, Vec<UserId>)>,
    /// How far senders have read by sending; ordered by conversation and user, each once. In the same
    /// transaction their cursors move there, never back, and the conversation is not marked unread any
    /// more.
    pub read: Vec<ReadTo>,
    /// Messages that were deleted: after the entries are written, their bodies and those of their
    /// edits are emptied and marked gone, and nobody is mentioned by them any more.
    pub erase: Vec<(ConversationId, Seq)>,
}

/// How far a sender has read by sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadTo {
    /// Where.
    pub conversation: ConversationId,
    /// Who, and with which device last.
    pub from: Identity,
    /// The last of the sender's messages in the batch that marks the conversation read.
    pub seq: Seq,
    /// How many there are.
    pub own: u64,
    /// The last one's number, as [`Entry::number`] says.
    pub number: u64,
}

/// Where the cursors of [`Plan::read`] stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stood {
    /// The cursors.
    pub cursors: Cursors,
    /// How many messages the log holds up to what was read.
    pub number: u64,
}

/// What a store answers for a batch.
#[derive(Debug)]
pub struct Committed {
    /// One for each send, in order.
    pub fates: Vec<Fate>,
    /// The new entries with their conversation's group version, in order.
    pub entries: Vec<(Entry, u64)>,
    /// What senders have read by sending, with the cursors as they stood before: where more than their
    /// own messages was read. For the others nothing is new.
    pub read: Vec<(ReadTo, Cursors)>,
}

impl Plan {
    /// The answer once the plan is durable. `before`: where the cursors of [`Plan::read`] stood, in its
    /// order; those that are missing stood at 0.
    #[must_use]
    pub fn committed(self, before: &[Stood]) -> Committed {
        let before = before.iter().copied().chain(std::iter::repeat(Stood::default()));
        let news = |(to, before): (ReadTo, Stood)| {
            let of_others = to.number.saturating_sub(before.number) > to.own;
            (of_others && to.seq > before.cursors.read).then_some((to, before.cursors))
        };
        let read = self.read.into_iter().zip(before).filter_map(news).collect();
        let versions: HashMap<_, _> =
            self.heads.iter().map(|(id, head)| (*id, head.group_version)).collect();
        let entries = self
            .entries
            .into_iter()
            .map(|(entry, _)| {
                let version = versions.get(&entry.conversation).copied().unwrap_or_default();
                (entry, version)
            })
            .collect();
        Committed { fates: self.fates, entries, read }
    }
}

#[cfg(test)]
mod tests;
