//! One place of a conversation's log, and the chain hash over all places up to it.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::ids::{ConversationId, DeviceId, MessageId, Seq, UserId};

/// A hash over every entry of a log up to one place: SHA-256, its first 16 bytes.
///
/// It names a place together with the sequence, so a client notices divergence and not only gaps.
/// On the wire its first [`ChainHash::WIRE_LEN`] bytes are enough: nobody but the server writes
/// the log, so this guards against mistakes and restored backups, not against the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ChainHash(pub [u8; 16]);

impl ChainHash {
    /// Before the first entry.
    pub const ZERO: Self = Self([0; 16]);
    /// Bytes of it that clients see.
    pub const WIRE_LEN: usize = 8;

    /// The part that clients see.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.0[..Self::WIRE_LEN]
    }

    /// The hash after one more entry.
    ///
    /// The body goes in by its own hash, so the chain can still be checked when a body is gone,
    /// as long as that hash is known.
    #[must_use]
    pub fn link(self, entry: &NewEntry<'_>) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(entry.seq.0.to_be_bytes());
        hash.update([entry.kind.code()]);
        hash.update(entry.message_id.0);
        hash.update(entry.time_ms.to_be_bytes());
        // Names hold no NUL, so it separates them.
        hash.update(entry.sender.as_str());
        hash.update([0]);
        hash.update(entry.device.as_str());
        hash.update([0]);
        hash.update(Sha256::digest(entry.body));
        if let Some(target) = entry.target {
            hash.update(target.0.to_be_bytes());
        }
        let digest = hash.finalize();
        let mut out = [0; 16];
        out.copy_from_slice(&digest[..16]);
        Self(out)
    }
}

/// What the chain covers of an entry.
#[derive(Debug, Clone, Copy)]
pub struct NewEntry<'a> {
    /// Its place.
    pub seq: Seq,
    /// What it is.
    pub kind: EntryKind,
    /// Its id.
    pub message_id: MessageId,
    /// Milliseconds since 1970, the server's clock at ingest.
    pub time_ms: u64,
    /// The sender.
    pub sender: &'a UserId,
    /// The sender's device.
    pub device: &'a DeviceId,
    /// The body.
    pub body: &'a [u8],
    /// The entry that it is about.
    pub target: Option<Seq>,
}

/// What an entry is. The codes are stored and stand in the wire's `EntryType`: never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// An app's message. The only kind that counts as unread.
    Message,
    /// A change of members or roles; the body is [`crate::change::Change::to_body`].
    Membership,
    /// A new body for the message at `target`.
    Edit,
    /// The message at `target` is gone for all: its body was removed from the store.
    Deletion,
    /// The sender's reaction to the message at `target`, in place of its earlier one; an empty body
    /// takes it back.
    Reaction,
    /// A change of title, description or settings; the body is [`crate::change::Change::to_body`].
    Details,
    /// The message at `target` is pinned.
    Pin,
    /// It is no more.
    Unpin,
}

impl EntryKind {
    /// All kinds, by rising code.
    pub const ALL: [Self; 8] = [
        Self::Message,
        Self::Membership,
        Self::Edit,
        Self::Deletion,
        Self::Reaction,
        Self::Details,
        Self::Pin,
        Self::Unpin,
    ];

    /// The stored code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Message => 1,
            Self::Membership => 2,
            Self::Edit => 3,
            Self::Deletion => 4,
            Self::Reaction => 5,
            Self::Details => 6,
            Self::Pin => 7,
            Self::Unpin => 8,
        }
    }

    /// The kind of a stored code, if this version knows it.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Whether it brings its conversation to the top of an inbox and is shown there.
    #[must_use]
    pub const fn is_activity(self) -> bool {
        matches!(self, Self::Message | Self::Membership | Self::Details)
    }

    /// Whether its body is [`crate::change::Change::to_body`], written by the server.
    #[must_use]
    pub const fn is_change(self) -> bool {
        matches!(self, Self::Membership | Self::Details)
    }
}

/// One committed entry. Cloning shares the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The conversation.
    pub conversation: ConversationId,
    /// Its place.
    pub seq: Seq,
    /// The chain up to and with this entry.
    pub chain: ChainHash,
    /// What it is.
    pub kind: EntryKind,
    /// Its id.
    pub message_id: MessageId,
    /// The sender.
    pub sender: UserId,
    /// The sender's device.
    pub device: DeviceId,
    /// Milliseconds since 1970, the server's clock at ingest.
    pub time_ms: u64,
    /// Opaque; empty when [`Entry::body_gone`].
    pub body: Bytes,
    /// The entry that this one answers.
    pub reply_to: Option<Seq>,
    /// The message that an edit, deletion, reaction or pin is about.
    pub target: Option<Seq>,
    /// Users that a message names; at most [`crate::limits::MENTIONS_MAX`].
    pub mentions: Vec<UserId>,
    /// How many messages ([`EntryKind::Message`]) the log holds up to and with this entry: unread
    /// is a subtraction of two of these.
    pub number: u64,
    /// Milliseconds since 1970 after which the body is not delivered any more.
    pub expires_ms: Option<u64>,
    /// The body was removed from the store.
    pub body_gone: bool,
}

impl Entry {
    /// Whether the body may still be delivered at `now_ms`.
    #[must_use]
    pub fn is_live(&self, now_ms: u64) -> bool {
        !self.body_gone && self.expires_ms.is_none_or(|at| now_ms < at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_sees_every_field() {
        let (alice, bob) = (UserId::new("alice").unwrap(), UserId::new("bob").unwrap());
        let (d1, d2) = (DeviceId::new("d1").unwrap(), DeviceId::new("d2").unwrap());
        let base = NewEntry {
            seq: Seq(1),
            kind: EntryKind::Message,
            message_id: MessageId([1; 16]),
            time_ms: 5,
            sender: &alice,
            device: &d1,
            body: b"x",
            target: None,
        };
        let first = ChainHash::ZERO.link(&base);
        let others = [
            NewEntry { seq: Seq(2), ..base },
            NewEntry { kind: EntryKind::Membership, ..base },
            NewEntry { message_id: MessageId([2; 16]), ..base },
            NewEntry { time_ms: 6, ..base },
            NewEntry { sender: &bob, ..base },
            NewEntry { device: &d2, ..base },
            NewEntry { body: b"y", ..base },
            NewEntry { target: Some(Seq(1)), ..base },
        ];
        for other in others {
            assert_ne!(ChainHash::ZERO.link(&other), first, "{other:?}");
        }
        assert_ne!(first.link(&base), first);
        assert_eq!(ChainHash::ZERO.link(&base), first);
    }
}
