//! Changes of a conversation's members, roles and details: asked, decided, and as the log holds
//! them. Pure: the stores call [`decide`] under the conversation's lock and write [`apply`].

use crate::commit::{Fingerprint, SendKey};
use crate::entry::EntryKind;
use crate::ids::{ConversationId, Identity, MessageId, Seq, UserId};
use crate::membership::{ConversationKind, History, Role, Stamp};

mod body;
mod decide;
mod tell;

pub use decide::{check_details, decide};
pub use tell::{apply, founded, tellings};

/// A change, as asked.
#[derive(Debug, Clone)]
pub struct ChangeRequest {
    /// The conversation.
    pub conversation: ConversationId,
    /// Who asks; `None`: an operator (the admin token), who may do all.
    pub actor: Option<Identity>,
    /// What is asked.
    pub ask: Ask,
    /// Refuse unless members and details are in this state.
    pub stamp: Option<Stamp>,
    /// What binds who adds members; `None`: nothing does, as for operators.
    pub adding: Option<Adding>,
    /// The idempotency key, with the actor: a repeated request is told what the first one did. Never
    /// [`SendKey::Client`], whose names are those of sends.
    pub key: SendKey,
    /// The id of the entry that tells of it.
    pub message_id: MessageId,
    /// Milliseconds since 1970.
    pub time_ms: u64,
}

impl ChangeRequest {
    /// What is asked, but not the state that it names (a stale one is refreshed for the same
    /// change). `None`: under a key of the server, which nobody can use again.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        let (what, users): (String, Vec<&UserId>) = match &self.ask {
            Ask::Add { users, role } => (format!("add {}", role.code()), users.iter().collect()),
            Ask::Remove { users } => ("remove".to_owned(), users.iter().collect()),
            Ask::Roles { roles } => {
                let codes: Vec<_> = roles.iter().map(|(_, role)| role.code().to_string()).collect();
                let users = roles.iter().map(|(user, _)| user).collect();
                (format!("roles {}", codes.join(" ")), users)
            }
            Ask::Transfer { to } => ("transfer".to_owned(), vec![to]),
            Ask::Details { set, .. } => {
                let set = Change::Details(set.clone()).to_body();
                (format!("details {}", String::from_utf8_lossy(&set)), Vec::new())
            }
        };
        let users = users.into_iter().map(|user| user.as_str().as_bytes());
        let asked = Fingerprint::of(std::iter::once(what.as_bytes()).chain(users));
        (!matches!(self.key, SendKey::Server(_))).then_some(asked)
    }

    /// Whether this asks for what was done under its key; `first`: the fingerprint stored there, `None`
    /// by a version without any. Errors: [`Refused::KeyReused`].
    pub fn repeats(&self, first: Option<Fingerprint>) -> Result<(), Refused> {
        match (self.fingerprint(), first) {
            (Some(now), Some(first)) if now != first => Err(Refused::KeyReused),
            _ => Ok(()),
        }
    }
}

/// What binds who adds members. It is decided with the addition: whatever was known of the members
/// before may be old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adding {
    /// Those who may be added, as a policy was found to say. Others are refused as
    /// [`Refused::Unvetted`].
    pub vetted: Vec<UserId>,
    /// Members that the group may have then.
    pub members_max: usize,
}

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// They join, with this role. Those who are members already are left out.
    Add {
        /// Users.
        users: Vec<UserId>,
        /// Never [`Role::Owner`].
        role: Role,
    },
    /// They leave, by themselves or by another. Those who are no members are left out.
    Remove {
        /// Users.
        users: Vec<UserId>,
    },
    /// Members get another role.
    Roles {
        /// Distinct users.
        roles: Vec<(UserId, Role)>,
    },
    /// The actor, an owner, becomes an admin, and the member an owner.
    Transfer {
        /// A member.
        to: UserId,
    },
    /// Title, description, settings.
    Details {
        /// What is to be another.
        set: DetailsChange,
        /// The place up to which the writer knows the log; a value that was written above it was
        /// overwritten unseen, and its writer is told.
        based_on: Option<Seq>,
    },
}

/// New details; `None`: as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DetailsChange {
    /// See [`crate::membership::Details`].
    pub title: Option<String>,
    /// See [`crate::membership::Details`].
    pub description: Option<String>,
    /// See [`crate::membership::Details`].
    pub history: Option<History>,
    /// Seconds; 0: messages stay.
    pub expiry_s: Option<u32>,
    /// The entries whose title or description this one replaced; distinct, rising. Empty when asked.
    pub replaces: Vec<Seq>,
    /// The writer did not know of what it replaced: whoever wrote that has lost. `false` when
    /// asked.
    pub concurrent: bool,
}

/// A decided change, as the log holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The conversation was created, at group version 1: the first entry of its log.
    Created {
        /// Direct or group.
        kind: ConversationKind,
        /// How many members it began with.
        count: usize,
        /// The first of them, at most [`crate::limits::CHANGE_USERS_MAX`]; their tags count from 1 in this order.
        members: Vec<(UserId, Role)>,
        /// What was set of the details.
        details: DetailsChange,
    },
    /// Users joined.
    Added {
        /// The group version after it.
        group_version: u64,
        /// Those who really joined, ordered.
        users: Vec<UserId>,
        /// With this role.
        role: Role,
        /// The first one's tag; the others' follow. 0: written by a version without tags.
        first_tag: u32,
    },
    /// Users left.
    Removed {
        /// The group version after it.
        group_version: u64,
        /// Those who really left, ordered.
        users: Vec<UserId>,
    },
    /// Members got another role.
    Roles {
        /// The group version after it.
        group_version: u64,
        /// Ordered by user; only real changes.
        roles: Vec<(UserId, Role)>,
    },
    /// New details.
    Details(DetailsChange),
}

impl Change {
    /// The kind of the log's entry.
    #[must_use]
    pub const fn kind(&self) -> EntryKind {
        match self {
            Self::Details(_) => EntryKind::Details,
            Self::Created { .. }
            | Self::Added { .. }
            | Self::Removed { .. }
            | Self::Roles { .. } => EntryKind::Membership,
        }
    }

    /// Whether `user` leaves by it.
    #[must_use]
    pub fn removes(&self, user: &UserId) -> bool {
        matches!(self, Self::Removed { users, .. } if users.contains(user))
    }

    /// Whether `user` joins by it.
    #[must_use]
    pub fn adds(&self, user: &UserId) -> bool {
        matches!(self, Self::Added { users, .. } if users.contains(user))
    }
}

/// Why a change is refused. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such conversation, or the actor is no member of it.
    #[error("no such conversation")]
    Unknown,
    /// The actor's role lacks it.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A direct conversation keeps its two members.
    #[error("a direct conversation keeps its two members; create a group instead")]
    Direct,
    /// Nothing would change.
    #[error("nothing to change: {0}")]
    Nothing(&'static str),
    /// A user named is no member.
    #[error("{0} is no member of this conversation")]
    NoMember(UserId),
    /// The group would be without an owner.
    #[error("the last owner cannot go or step down; transfer the ownership first")]
    LastOwner,
    /// They would be added, and no policy was asked about them: see [`Adding`]. Whoever asked the store
    /// asks the policy, and then again.
    #[error("they cannot be added before it is known whether they may be")]
    Unvetted(Vec<UserId>),
    /// More members than a conversation may have.
    #[error("a conversation has at most {max} members")]
    Full {
        /// The bound.
        max: usize,
    },
    /// The state that the request named is over.
    #[error("the conversation has changed; look at it again")]
    Stale(Stamp),
    /// It can never be right.
    #[error("{0}")]
    Malformed(String),
    /// The key stands for another request.
    #[error("{}", crate::commit::KEY_REUSED)]
    KeyReused,
}

#[cfg(test)]
mod tests;
