//! Whether a change may be made, and what it comes to: pure, against the conversation as locked.

use std::collections::BTreeSet;

use super::{Adding, Ask, Change, ChangeRequest, DetailsChange, Refused};
use crate::ids::{Seq, UserId};
use crate::limits::{
    CHANGE_USERS_MAX, DESCRIPTION_CHARS_MAX, EXPIRY_S_MAX, MEMBERS_MAX, TITLE_CHARS_MAX,
};
use crate::membership::{Conversation, ConversationKind, Member, Role};
use crate::policy::NOT_HERE;
use crate::text;

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
        Ask::Add { users, role } => {
            let adding = request.adding.as_ref();
            let users = newcomers(conversation, actor, adding, users, *role)?;
            let first_tag = conversation.next_tag;
            Ok(Change::Added { group_version, users, role: *role, first_tag })
        }
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

/// Those who join, ordered.
fn newcomers(
    conversation: &Conversation,
    actor: Option<&Member>,
    adding: Option<&Adding>,
    users: &[UserId],
    role: Role,
) -> Result<Vec<UserId>, Refused> {
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
    let max = adding.map_or(MEMBERS_MAX, |adding| adding.members_max.min(MEMBERS_MAX));
    if conversation.members.len() + users.len() > max {
        return Err(Refused::Full { max });
    }
    if adding.is_some_and(|adding| users.iter().any(|user| !adding.vetted.contains(user))) {
        return Err(Refused::Unvetted(users));
    }
    Ok(users)
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
