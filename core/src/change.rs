//! Changes of a conversation's members, roles and details: asked, decided, and as the log holds
//! them. Pure: the stores call [`decide`] under the conversation's lock and write [`apply`].

use std::collections::BTreeSet;

use crate::commit::{Fingerprint, SendKey};
use crate::entry::{ChainHash, Entry, EntryKind, NewEntry};
use crate::ids::{ConversationId, Identity, MessageId, Seq, UserId};
use crate::limits::{
    CHANGE_USERS_MAX, DESCRIPTION_CHARS_MAX, EXPIRY_S_MAX, MEMBERS_MAX, TITLE_CHARS_MAX,
};
use crate::membership::{
    Conversation, ConversationKind, Details, Founding, History, Member, NewConversation, Role,
    Stamp,
};
use crate::notice::{Telling, What};
use crate::policy::NOT_HERE;
use crate::text;

mod body;

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
        /// The first of them, at most [`CHANGE_USERS_MAX`]; their tags count from 1 in this order.
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

/// Leaves out of a page (in either direction) what a member who joined at `joined` may not see any
/// more: a page is read after the membership was looked at, and may tell that it has ended since.
pub fn keep_stay(entries: &mut Vec<Entry>, user: &UserId, joined: Seq) {
    let ends = entries
        .iter()
        .filter(|entry| entry.seq > joined && entry.kind == EntryKind::Membership)
        .filter(|entry| entry.change().is_some_and(|change| change.removes(user)))
        .map(|entry| entry.seq)
        .min();
    if let Some(end) = ends {
        entries.retain(|entry| entry.seq < end);
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

/// Decides a change against the conversation as locked in the same transaction.
///
/// Users that it names twice are taken once; adding members and removing strangers changes nothing
/// for them. Errors: see [`Refused`].
pub fn decide(conversation: &Conversation, request: &ChangeRequest) -> Result<Change, Refused> {
    let actor = match &request.actor {
        None => None,
        Some(actor) => Some(conversation.member(&actor.user).ok_or(Refused::Unknown)?),
    };
    if request.stamp.is_some_and(|stamp| stamp != conversation.stamp()) {
        return Err(Refused::Stale(conversation.stamp()));
    }
    let members_change = !matches!(request.ask, Ask::Details { .. });
    if members_change && conversation.kind == ConversationKind::Direct {
        return Err(Refused::Direct);
    }
    let group_version = conversation.group_version + 1;
    match &request.ask {
        Ask::Add { users, role } => add(conversation, actor, users, *role, group_version),
        Ask::Remove { users } => remove(conversation, actor, users, group_version),
        Ask::Roles { roles } => set_roles(conversation, actor, roles, group_version),
        Ask::Transfer { to } => transfer(conversation, actor, to, group_version),
        Ask::Details { set, based_on } => set_details(conversation, actor, set, *based_on),
    }
}

fn named(users: &[UserId]) -> Result<BTreeSet<&UserId>, Refused> {
    match users.len() {
        0 => Err(Refused::Malformed("no user is named".to_owned())),
        n if n > CHANGE_USERS_MAX => Err(Refused::Malformed(format!(
            "{n} users are named; at most {CHANGE_USERS_MAX} go into one change"
        ))),
        _ => Ok(users.iter().collect()),
    }
}

fn add(
    conversation: &Conversation,
    actor: Option<&Member>,
    users: &[UserId],
    role: Role,
    group_version: u64,
) -> Result<Change, Refused> {
    if actor.is_some_and(|actor| !actor.role.may_manage() || !actor.role.may_manage_role(role)) {
        return Err(Refused::Forbidden("only an owner or an admin may change the members"));
    }
    if role == Role::Owner {
        return Err(Refused::Malformed("add as another role, then transfer".to_owned()));
    }
    let new = named(users)?.into_iter().filter(|user| conversation.member(user).is_none());
    let users: Vec<UserId> = new.cloned().collect();
    if users.is_empty() {
        return Err(Refused::Nothing("every user named is a member already"));
    }
    if conversation.members.len() + users.len() > MEMBERS_MAX {
        return Err(Refused::Full { max: MEMBERS_MAX });
    }
    Ok(Change::Added { group_version, users, role, first_tag: conversation.next_tag })
}

fn remove(
    conversation: &Conversation,
    actor: Option<&Member>,
    users: &[UserId],
    group_version: u64,
) -> Result<Change, Refused> {
    let named = named(users)?;
    let gone: Vec<&Member> = named.iter().filter_map(|user| conversation.member(user)).collect();
    if let Some(actor) = actor {
        let leaves = named.iter().all(|user| **user == actor.user);
        let manages = actor.role.may_manage()
            && gone.iter().all(|m| actor.role.may_manage_role(m.role) || m.user == actor.user);
        if !leaves && !manages {
            return Err(Refused::Forbidden(
                "only an owner or an admin may remove members, and only an owner an admin or an \
                 owner; anyone may leave",
            ));
        }
    }
    if gone.is_empty() {
        return Err(Refused::Nothing("every user named is no member already"));
    }
    let users: Vec<UserId> = gone.iter().map(|member| member.user.clone()).collect();
    let mut left = conversation.members.iter().filter(|m| users.binary_search(&m.user).is_err());
    let owned = gone.iter().any(|member| member.role == Role::Owner);
    // The last one out needs no heir.
    if owned && left.clone().next().is_some() && !left.any(|m| m.role == Role::Owner) {
        return Err(Refused::LastOwner);
    }
    Ok(Change::Removed { group_version, users })
}

fn set_roles(
    conversation: &Conversation,
    actor: Option<&Member>,
    roles: &[(UserId, Role)],
    group_version: u64,
) -> Result<Change, Refused> {
    let users: Vec<UserId> = roles.iter().map(|(user, _)| user.clone()).collect();
    let distinct = named(&users)?.len();
    if distinct != users.len() {
        return Err(Refused::Malformed("a user is named twice".to_owned()));
    }
    let mut changed = Vec::with_capacity(roles.len());
    for (user, role) in roles {
        let member = conversation.member(user).ok_or_else(|| Refused::NoMember(user.clone()))?;
        let may = actor.is_none_or(|actor| {
            actor.role.may_manage_role(*role) && actor.role.may_manage_role(member.role)
        });
        if !may {
            return Err(Refused::Forbidden(
                "only an owner may name or change owners and admins; an admin may switch between \
                 member and read-only",
            ));
        }
        if member.role != *role {
            changed.push((user.clone(), *role));
        }
    }
    changed.sort_by(|a, b| a.0.cmp(&b.0));
    finish_roles(conversation, changed, group_version)
}

fn finish_roles(
    conversation: &Conversation,
    roles: Vec<(UserId, Role)>,
    group_version: u64,
) -> Result<Change, Refused> {
    if roles.is_empty() {
        return Err(Refused::Nothing("every member named has that role already"));
    }
    let role_after = |member: &Member| {
        roles.iter().find(|(user, _)| *user == member.user).map_or(member.role, |(_, role)| *role)
    };
    let owners = |role_of: &dyn Fn(&Member) -> Role| {
        conversation.members.iter().filter(|member| role_of(member) == Role::Owner).count()
    };
    if owners(&role_after) == 0 && owners(&|member| member.role) > 0 {
        return Err(Refused::LastOwner);
    }
    Ok(Change::Roles { group_version, roles })
}

fn transfer(
    conversation: &Conversation,
    actor: Option<&Member>,
    to: &UserId,
    group_version: u64,
) -> Result<Change, Refused> {
    if actor.is_some_and(|actor| actor.role != Role::Owner) {
        return Err(Refused::Forbidden("only an owner may transfer the ownership"));
    }
    let heir = conversation.member(to).ok_or_else(|| Refused::NoMember(to.clone()))?;
    if actor.is_some_and(|actor| actor.user == *to) {
        return Err(Refused::Nothing("the ownership is yours already"));
    }
    // An operator transfers from all owners.
    let mut roles: Vec<(UserId, Role)> = conversation
        .members
        .iter()
        .filter(|member| member.role == Role::Owner && member.user != *to)
        .filter(|member| actor.is_none_or(|actor| actor.user == member.user))
        .map(|member| (member.user.clone(), Role::Admin))
        .collect();
    if heir.role != Role::Owner {
        roles.push((to.clone(), Role::Owner));
    }
    roles.sort_by(|a, b| a.0.cmp(&b.0));
    finish_roles(conversation, roles, group_version)
}

fn set_details(
    conversation: &Conversation,
    actor: Option<&Member>,
    set: &DetailsChange,
    based_on: Option<Seq>,
) -> Result<Change, Refused> {
    let direct = conversation.kind == ConversationKind::Direct;
    if direct && (set.title.is_some() || set.description.is_some() || set.history.is_some()) {
        return Err(Refused::Malformed(
            "a direct conversation has no title, description or history setting".to_owned(),
        ));
    }
    let may = |role: Role| role.may_manage() || (direct && role.may_send());
    if direct && actor.is_some_and(|actor| actor.blocked) {
        return Err(Refused::Forbidden(NOT_HERE));
    }
    if actor.is_some_and(|actor| !may(actor.role)) {
        return Err(Refused::Forbidden("only an owner or an admin may change the details"));
    }
    check_details(set)?;
    if based_on.is_some_and(|seq| seq > conversation.head_seq) {
        return Err(Refused::Malformed("based_on is beyond the head".to_owned()));
    }
    let now = &conversation.details;
    let mut change = DetailsChange { replaces: Vec::new(), concurrent: false, ..set.clone() };
    // The same value again is no change: nobody has lost.
    change.title = change.title.filter(|title| *title != now.title);
    change.description = change.description.filter(|text| *text != now.description);
    change.history = change.history.filter(|history| *history != now.history);
    change.expiry_s = change.expiry_s.filter(|s| (*s > 0).then_some(*s) != now.expiry_s);
    if change == DetailsChange::default() {
        return Err(Refused::Nothing("the details are these already"));
    }
    let replaced = [
        change.title.as_ref().map(|_| now.title_seq),
        change.description.as_ref().map(|_| now.description_seq),
    ];
    let replaced: BTreeSet<Seq> =
        replaced.into_iter().flatten().filter(|seq| *seq > Seq::ZERO).collect();
    change.concurrent =
        based_on.is_some_and(|known| replaced.iter().any(|replaced| *replaced > known));
    change.replaces = replaced.into_iter().collect();
    Ok(Change::Details(change))
}

/// Whether details keep to their bounds. Errors: [`Refused::Malformed`].
pub fn check_details(set: &DetailsChange) -> Result<(), Refused> {
    let title = set.title.as_deref().unwrap_or_default();
    let description = set.description.as_deref().unwrap_or_default();
    text::line(title, TITLE_CHARS_MAX)
        .map_err(|fault| Refused::Malformed(format!("the title {fault}")))?;
    text::lines(description, DESCRIPTION_CHARS_MAX)
        .map_err(|fault| Refused::Malformed(format!("the description {fault}")))?;
    if set.expiry_s.is_some_and(|s| s > EXPIRY_S_MAX) {
        return Err(Refused::Malformed(format!(
            "messages may disappear after at most {EXPIRY_S_MAX} seconds"
        )));
    }
    Ok(())
}

/// What the users concerned are told of a change beside the log, which who is gone does not read.
#[must_use]
pub fn tellings(change: &Change, entry: &Entry) -> Vec<Telling> {
    let (conversation, seq, time_ms) = (entry.conversation, entry.seq, entry.time_ms);
    let telling = |user: &UserId, what| Telling { user: user.clone(), device: None, time_ms, what };
    let by = || entry.sender.clone();
    match change {
        Change::Removed { users, .. } => users
            .iter()
            .map(|user| telling(user, What::Removed { conversation, seq, by: by() }))
            .collect(),
        Change::Roles { roles, .. } => roles
            .iter()
            .map(|(user, role)| {
                telling(user, What::Role { conversation, seq, by: by(), role: *role })
            })
            .collect(),
        Change::Created { .. } | Change::Added { .. } | Change::Details(_) => Vec::new(),
    }
}

/// The first entry of a new conversation's log, which tells of its creation.
#[must_use]
pub fn founded(new: &NewConversation, founding: &Founding) -> Entry {
    let Details { title, description, history, expiry_s, .. } = &new.details;
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let change = Change::Created {
        kind: new.kind,
        count: new.members.len(),
        members: new.members.iter().take(CHANGE_USERS_MAX).cloned().collect(),
        details: DetailsChange {
            title: text(title),
            description: text(description),
            history: (*history != History::default()).then_some(*history),
            expiry_s: *expiry_s,
            ..DetailsChange::default()
        },
    };
    let place = (new.id, Seq::ZERO.next(), ChainHash::ZERO);
    entry_of(&change, place, &founding.by, (founding.message_id, new.time_ms), 0)
}

/// Carries out a decided change: the log's entry that tells of it, and the conversation after it.
///
/// Added users see the entry itself (`joined_seq` is its place less one).
#[must_use]
pub fn apply(
    mut conversation: Conversation,
    change: &Change,
    request: &ChangeRequest,
) -> (Entry, Conversation) {
    let from = request.actor.clone().unwrap_or_else(Identity::operator);
    let seq = conversation.head_seq.next();
    let place = (conversation.id, seq, conversation.head_chain);
    let stamp = (request.message_id, request.time_ms);
    let entry = entry_of(change, place, &from, stamp, conversation.number);
    conversation.take(change, seq);
    (conversation.head_seq, conversation.head_chain) = (seq, entry.chain);
    (conversation.active_seq, conversation.active_ms) = (seq, request.time_ms);
    (entry, conversation)
}

/// The entry that tells of a change, behind the chain at the place before.
fn entry_of(
    change: &Change,
    (conversation, seq, before): (ConversationId, Seq, ChainHash),
    from: &Identity,
    (message_id, time_ms): (MessageId, u64),
    number: u64,
) -> Entry {
    let (kind, body) = (change.kind(), change.to_body());
    let chain = before.link(&NewEntry {
        seq,
        kind,
        message_id,
        time_ms,
        sender: &from.user,
        device: &from.device,
        body: &body,
        target: None,
    });
    Entry {
        conversation,
        seq,
        chain,
        kind,
        message_id,
        sender: from.user.clone(),
        device: from.device.clone(),
        time_ms,
        body,
        reply_to: None,
        target: None,
        mentions: Vec::new(),
        number,
        expires_ms: None,
        body_gone: false,
    }
}

#[cfg(test)]
mod tests;
