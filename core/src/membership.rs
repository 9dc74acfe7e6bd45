//! Conversations, their members, and changes of them.

use bytes::Bytes;

use crate::entry::{ChainHash, Entry, EntryKind, NewEntry};
use crate::ids::{ConversationId, Identity, MessageId, Seq, UserId};

/// What a conversation is between. The codes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConversationKind {
    /// Two users; its members never change.
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

/// What a member may do. The codes are stored; gaps leave room for admin and read-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends, adds and removes members.
    Owner,
    /// Sends.
    Member,
}

impl Role {
    /// The stored code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Owner => 1,
            Self::Member => 3,
        }
    }

    /// The role of a stored code, if this version knows it.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Owner),
            3 => Some(Self::Member),
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
    /// The log's head when the user joined: entries above it are theirs to see.
    pub joined_seq: Seq,
}

/// A conversation's head and members, read at one moment.
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
    /// Raised by every change of members; starts at 1.
    pub group_version: u64,
    /// Present members, ordered by user id.
    pub members: Vec<Member>,
}

impl Conversation {
    /// The member `user`, if present.
    #[must_use]
    pub fn member(&self, user: &UserId) -> Option<&Member> {
        self.members.iter().find(|m| &m.user == user)
    }
}

/// A conversation to be created. It has an empty log: the first send becomes sequence 1.
#[derive(Debug, Clone)]
pub struct NewConversation {
    /// A fresh random id.
    pub id: ConversationId,
    /// Direct or group.
    pub kind: ConversationKind,
    /// Distinct users with their roles; exactly two for a direct one.
    pub members: Vec<(UserId, Role)>,
    /// Milliseconds since 1970.
    pub time_ms: u64,
}

/// Adding or removing members, as asked.
#[derive(Debug, Clone)]
pub struct ChangeRequest {
    /// The group.
    pub conversation: ConversationId,
    /// Who asks; `None`: an operator (the admin token), who may do all.
    pub actor: Option<Identity>,
    /// Added or removed.
    pub direction: Direction,
    /// Distinct users.
    pub users: Vec<UserId>,
    /// The id of the entry that tells of it.
    pub message_id: MessageId,
    /// Milliseconds since 1970.
    pub time_ms: u64,
}

/// Which way members change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// They join.
    Added,
    /// They leave, by themselves or by another.
    Removed,
}

/// A change of members, as the log holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Added or removed.
    pub direction: Direction,
    /// The users that really changed, ordered.
    pub users: Vec<UserId>,
    /// The group version after it.
    pub group_version: u64,
}

impl Change {
    /// The body of the log's entry: `added 3 alice bob`. User ids hold no space.
    #[must_use]
    pub fn to_body(&self) -> Bytes {
        let verb = match self.direction {
            Direction::Added => "added",
            Direction::Removed => "removed",
        };
        let mut text = format!("{verb} {}", self.group_version);
        for user in &self.users {
            text.push(' ');
            text.push_str(user.as_str());
        }
        Bytes::from(text)
    }

    /// Reads [`Change::to_body`]; `None` when it is not one.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(body).ok()?.split(' ');
        let direction = match words.next()? {
            "added" => Direction::Added,
            "removed" => Direction::Removed,
            _ => return None,
        };
        let group_version = words.next()?.parse().ok()?;
        let users = words.map(|w| UserId::new(w).ok()).collect::<Option<Vec<_>>>()?;
        Some(Self { direction, users, group_version })
    }
}

/// Why a change of members is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such conversation, or the actor is no member of it.
    #[error("no such conversation")]
    Unknown,
    /// The actor's role lacks it.
    #[error("only an owner may change the members; anyone may leave")]
    Forbidden,
    /// A direct conversation keeps its two members.
    #[error("a direct conversation keeps its two members; create a group instead")]
    Direct,
    /// Nothing would change: all are members already, or none is.
    #[error("nothing to change: every user named is {0} already")]
    Nothing(&'static str),
    /// More members than a conversation may have.
    #[error("a conversation has at most {max} members")]
    Full {
        /// The bound.
        max: usize,
    },
}

/// Decides a change of members against the conversation as locked in the same transaction.
///
/// Returns the users that really change; those named twice or already there are left out.
/// Errors: see [`Refused`].
pub fn decide(
    conversation: &Conversation,
    request: &ChangeRequest,
    members_max: usize,
) -> Result<Change, Refused> {
    if conversation.kind == ConversationKind::Direct {
        return Err(Refused::Direct);
    }
    if let Some(actor) = &request.actor {
        let member = conversation.member(&actor.user).ok_or(Refused::Unknown)?;
        let leaves = request.direction == Direction::Removed
            && request.users.iter().all(|u| *u == actor.user);
        if member.role != Role::Owner && !leaves {
            return Err(Refused::Forbidden);
        }
    }
    let mut users: Vec<UserId> = request
        .users
        .iter()
        .filter(|u| match request.direction {
            Direction::Added => conversation.member(u).is_none(),
            Direction::Removed => conversation.member(u).is_some(),
        })
        .cloned()
        .collect();
    users.sort();
    users.dedup();
    if users.is_empty() {
        return Err(Refused::Nothing(match request.direction {
            Direction::Added => "a member",
            Direction::Removed => "no member",
        }));
    }
    if request.direction == Direction::Added
        && conversation.members.len() + users.len() > members_max
    {
        return Err(Refused::Full { max: members_max });
    }
    Ok(Change {
        direction: request.direction,
        users,
        group_version: conversation.group_version + 1,
    })
}

/// Carries out a decided change: the log's entry that tells of it, and the conversation after it.
///
/// Added users become plain members who see the entry itself (`joined_seq` is its place less one).
#[must_use]
pub fn apply(
    mut conversation: Conversation,
    change: &Change,
    request: &ChangeRequest,
) -> (Entry, Conversation) {
    let from = request.actor.clone().unwrap_or_else(Identity::operator);
    let (seq, kind, body) = (conversation.head_seq.next(), EntryKind::Membership, change.to_body());
    let chain = conversation.head_chain.link(&NewEntry {
        seq,
        kind,
        message_id: request.message_id,
        time_ms: request.time_ms,
        sender: &from.user,
        device: &from.device,
        body: &body,
    });
    match change.direction {
        Direction::Added => {
            let joined_seq = conversation.head_seq;
            conversation.members.extend(change.users.iter().map(|user| Member {
                user: user.clone(),
                role: Role::Member,
                joined_seq,
            }));
            conversation.members.sort_by(|a, b| a.user.cmp(&b.user));
        }
        Direction::Removed => {
            conversation.members.retain(|member| change.users.binary_search(&member.user).is_err());
        }
    }
    (conversation.head_seq, conversation.head_chain) = (seq, chain);
    conversation.group_version = change.group_version;
    let entry = Entry {
        conversation: conversation.id,
        seq,
        chain,
        kind,
        message_id: request.message_id,
        sender: from.user,
        device: from.device,
        time_ms: request.time_ms,
        body,
        reply_to: None,
        expires_ms: None,
        body_gone: false,
    };
    (entry, conversation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DeviceId;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn group() -> Conversation {
        Conversation {
            id: ConversationId([7; 16]),
            kind: ConversationKind::Group,
            head_seq: Seq(4),
            head_chain: ChainHash::ZERO,
            group_version: 2,
            members: vec![
                Member { user: user("alice"), role: Role::Owner, joined_seq: Seq(0) },
                Member { user: user("bob"), role: Role::Member, joined_seq: Seq(0) },
            ],
        }
    }

    fn ask(actor: Option<&str>, direction: Direction, users: &[&str]) -> ChangeRequest {
        ChangeRequest {
            conversation: ConversationId([7; 16]),
            actor: actor.map(|a| Identity { user: user(a), device: DeviceId::new("d").unwrap() }),
            direction,
            users: users.iter().map(|u| user(u)).collect(),
            message_id: MessageId([1; 16]),
            time_ms: 1,
        }
    }

    #[test]
    fn who_may_change_whom() {
        use Direction::{Added, Removed};
        type Row<'a> = (Option<&'a str>, Direction, &'a [&'a str], Result<&'a [&'a str], &'a str>);
        let table: &[Row<'_>] = &[
            (None, Added, &["carol"], Ok(&["carol"])),
            (Some("alice"), Added, &["dan", "carol", "dan", "bob"], Ok(&["carol", "dan"])),
            (Some("bob"), Added, &["carol"], Err("only an owner")),
            (Some("bob"), Removed, &["alice"], Err("only an owner")),
            (Some("bob"), Removed, &["bob"], Ok(&["bob"])),
            (Some("mallory"), Removed, &["bob"], Err("no such")),
            (Some("alice"), Added, &["bob"], Err("nothing to change")),
            (None, Removed, &["carol"], Err("nothing to change")),
            (None, Added, &["a", "b", "c"], Err("at most 4")),
        ];
        for (actor, direction, users, expected) in table {
            let got = decide(&group(), &ask(*actor, *direction, users), 4);
            match (got, expected) {
                (Ok(change), Ok(users)) => {
                    assert_eq!(change.users, users.iter().map(|u| user(u)).collect::<Vec<_>>());
                    assert_eq!(change.group_version, 3);
                    assert_eq!(Change::from_body(&change.to_body()), Some(change));
                }
                (Err(refused), Err(text)) => assert!(refused.to_string().contains(text)),
                (got, expected) => panic!("{actor:?} {users:?}: {got:?}, not {expected:?}"),
            }
        }
        let direct = Conversation { kind: ConversationKind::Direct, ..group() };
        assert_eq!(decide(&direct, &ask(None, Added, &["carol"]), 4), Err(Refused::Direct));
    }

    #[test]
    fn a_change_moves_the_head_and_the_members() {
        let add = ask(None, Direction::Added, &["carol", "aaron"]);
        let change = decide(&group(), &add, 9).unwrap();
        let (entry, after) = apply(group(), &change, &add);
        assert_eq!((entry.seq, entry.chain), (after.head_seq, after.head_chain));
        assert_eq!((entry.seq, after.group_version), (Seq(5), 3));
        assert_eq!(entry.membership(), Some(change));
        assert_eq!(entry.sender, Identity::operator().user);
        let names: Vec<_> = after.members.iter().map(|m| m.user.as_str()).collect();
        assert_eq!(names, ["aaron", "alice", "bob", "carol"]);
        assert_eq!(after.member(&user("carol")).unwrap().joined_seq, Seq(4));

        let remove = ask(Some("alice"), Direction::Removed, &["bob"]);
        let change = decide(&after, &remove, 9).unwrap();
        let (entry, after) = apply(after, &change, &remove);
        assert_eq!((entry.seq, entry.sender), (Seq(6), user("alice")));
        assert!(after.member(&user("bob")).is_none());
    }

    #[test]
    fn other_bodies_are_no_change() {
        for body in [&b""[..], b"added", b"added x", b"added 1 a/b", b"\xff", b"moved 1 a"] {
            assert_eq!(Change::from_body(body), None);
        }
    }
}
