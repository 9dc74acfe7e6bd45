//! Conversations and their members. How they change: [`crate::change`]; who may what:
//! [`crate::policy`].

use crate::entry::ChainHash;
use crate::ids::{ConversationId, Identity, MessageId, Seq, UserId};

/// What a conversation is between. The codes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConversationKind {
    /// Two users, or one with oneself; its members never change, and there is one for a pair.
    Direct,
    /// Any number of users.
    Group,
}

impl ConversationKind {
    /// The stored code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Direct => 1,
            Self::Group => 2,
        }
    }

    /// The kind of a stored code, if this version knows it.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Direct),
            2 => Some(Self::Group),
            _ => None,
        }
    }
}

/// What a member may do; the table stands in [`crate::policy`]. The codes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// May do all.
    Owner,
    /// Manages members and details, but not owners and admins.
    Admin,
    /// Sends.
    Member,
    /// Reads.
    ReadOnly,
}

impl Role {
    /// All roles, by rising code.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Member, Self::ReadOnly];

    /// The stored code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Owner => 1,
            Self::Admin => 2,
            Self::Member => 3,
            Self::ReadOnly => 4,
        }
    }

    /// The role of a stored code, if this version knows it.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.code() == code)
    }

    /// Its name, as logs and REST write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::ReadOnly => "read-only",
        }
    }

    /// Reads [`Role::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// What newcomers of a group see of what was before. The codes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum History {
    /// Nothing: they see from their join on.
    #[default]
    FromJoin,
    /// All of it.
    All,
}

impl History {
    /// The stored code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::FromJoin => 1,
            Self::All => 2,
        }
    }

    /// The setting of a stored code, if this version knows it.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::FromJoin),
            2 => Some(Self::All),
            _ => None,
        }
    }
}

/// One present member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// May do what.
    pub role: Role,
    /// The log's head when the user joined: entries above it are delivered, and count as unread.
    pub joined_seq: Seq,
    /// Entries above this place are theirs to see: `joined_seq`, or 0 by the group's setting.
    pub visible_seq: Seq,
    /// A short name within the conversation, from 1, never given twice: typing events are that
    /// small because they carry it in place of the user id.
    pub tag: u32,
    /// A direct conversation whose other member has blocked this one: it may not send.
    pub blocked: bool,
}

/// A stay of a user, also one that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// Who, with the role at the end.
    pub member: Member,
    /// The entry that tells of the end; `None`: present.
    pub left_seq: Option<Seq>,
}

/// A conversation that a user is no member of any more, as the inbox lists it for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Which.
    pub conversation: ConversationId,
    /// As it was when the user left; empty: there was none, or it is another since.
    pub title: String,
    /// The entry that tells of it.
    pub left_seq: Seq,
    /// When, in milliseconds since 1970.
    pub left_ms: u64,
    /// Who did it; the user: left.
    pub by: UserId,
}

/// What people see of a conversation besides its messages. Title and description are registers:
/// the last writer by sequence wins, each for itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// At most [`crate::limits::TITLE_CHARS_MAX`] characters, no control characters; may be empty.
    pub title: String,
    /// The entry that wrote it; 0: none yet.
    pub title_seq: Seq,
    /// At most [`crate::limits::DESCRIPTION_CHARS_MAX`] characters; may be empty.
    pub description: String,
    /// The entry that wrote it; 0: none yet.
    pub description_seq: Seq,
    /// For those who join from now on.
    pub history: History,
    /// Bodies of messages sent from now on are removed so many seconds later.
    pub expiry_s: Option<u32>,
    /// The last entry that changed anything here; 0: none yet.
    pub changed_seq: Seq,
}

/// A conversation's head, details and members, read at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// Direct or group.
    pub kind: ConversationKind,
    /// The last place of its log.
    pub head_seq: Seq,
    /// The chain at that place.
    pub head_chain: ChainHash,
    /// Raised by every change of members or roles; starts at 1.
    pub group_version: u64,
    /// Messages in the log.
    pub number: u64,
    /// The last entry that an inbox shows ([`crate::entry::EntryKind::is_activity`]); 0: none yet.
    pub active_seq: Seq,
    /// When that was, or when the conversation was created: milliseconds since 1970.
    pub active_ms: u64,
    /// Title, description, settings.
    pub details: Details,
    /// The tag that the next member gets.
    pub next_tag: u32,
    /// Present members, ordered by user id.
    pub members: Vec<Member>,
}

impl Conversation {
    /// The member `user`, if present.
    #[must_use]
    pub fn member(&self, user: &UserId) -> Option<&Member> {
        self.members.iter().find(|m| &m.user == user)
    }

    /// Direct, and one of the two blocks the other: neither is told anything of the other but what
    /// the log holds.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.kind == ConversationKind::Direct && self.members.iter().any(|member| member.blocked)
    }

    /// What a caller names to change only what it has seen (REST: `ETag`, `If-Match`).
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp { group_version: self.group_version, details_seq: self.details.changed_seq }
    }
}

/// Which state of a conversation's members and details someone has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// [`Conversation::group_version`].
    pub group_version: u64,
    /// [`Details::changed_seq`].
    pub details_seq: Seq,
}

/// Who creates a conversation: the first entry of its log tells of it
/// ([`crate::change::Change::Created`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founding {
    /// [`Identity::operator`] for one that an operator makes.
    pub by: Identity,
    /// The id of the entry.
    pub message_id: MessageId,
}

/// A conversation to be created.
#[derive(Debug, Clone)]
pub struct NewConversation {
    /// A fresh random id.
    pub id: ConversationId,
    /// Direct or group.
    pub kind: ConversationKind,
    /// Distinct users with their roles; two for a direct one, or one with oneself. Tags count from 1
    /// in this order.
    pub members: Vec<(UserId, Role)>,
    /// Title, description, settings; their sequences are 0.
    pub details: Details,
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// Whose doing it is, as the first entry tells; `None`: the log begins empty, as those of
    /// versions did that did not tell of it.
    pub founding: Option<Founding>,
}

impl NewConversation {
    /// The two users of a direct conversation in their order, twice the same for one with oneself;
    /// `None` for a group. It names the conversation beside its id: there is one for a pair.
    #[must_use]
    pub fn pair(&self) -> Option<(&UserId, &UserId)> {
        match (self.kind, &self.members[..]) {
            (ConversationKind::Direct, [(one, _)]) => Some((one, one)),
            (ConversationKind::Direct, [(one, _), (other, _)]) => Some(ordered(one, other)),
            _ => None,
        }
    }
}

/// Two users in the order in which a pair is stored.
#[must_use]
pub fn ordered<'a>(one: &'a UserId, other: &'a UserId) -> (&'a UserId, &'a UserId) {
    if one <= other { (one, other) } else { (other, one) }
}
