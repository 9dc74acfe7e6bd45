//! What the control plane and `q/groups` ask: conversations created and changed.

use std::collections::BTreeSet;

use godwit_core::bus::Signal;
use godwit_core::change::{self, Ask, ChangeRequest, DetailsChange, Refused};
use godwit_core::entry::Entry;
use godwit_core::ids::{Identity, UserId};
use godwit_core::limits::{CHANGE_USERS_MAX, MEMBERS_MAX};
use godwit_core::membership::{Conversation, ConversationKind, History, NewConversation};
use godwit_core::policy::{Invited, Strangers};
use godwit_core::store::Error;

use crate::inner::Inner;
use crate::offers;

/// Why nobody is brought together with someone who blocks them. It does not say that.
const UNWANTED: Refused = Refused::Forbidden("a user named cannot be asked by you");

/// Why a user brings no more people together today.
const TOO_MANY: Refused =
    Refused::Forbidden("you have asked too many people today who do not know you; ask again later");

/// Creates a conversation; see [`godwit_core::bus::Control::create`].
pub(crate) async fn create(
    inner: &Inner,
    new: &NewConversation,
    creator: Option<&UserId>,
) -> Result<Result<Conversation, Refused>, Error> {
    if let Err(refused) = check(new) {
        return Ok(Err(refused));
    }
    if let Some(creator) = creator {
        let others = new.members.iter().map(|(user, _)| user).filter(|user| *user != creator);
        let others: Vec<UserId> = others.cloned().collect();
        if blocks_any(inner, creator, &others).await? {
            // A repeated request is told what the first one did, whoever blocks whom since; and
            // what two users have already, they keep.
            return Ok(made(inner, new).await?.ok_or(UNWANTED));
        }
        let group = (new.kind == ConversationKind::Group).then_some(new.members.len());
        if let Some(refused) = invite(inner, creator, &others, group, new.time_ms).await? {
            return Ok(made(inner, new).await?.ok_or(refused));
        }
        if inner.options.policy.strangers.by_invitation
            && new.kind == ConversationKind::Group
            && let Some(founding) = &new.founding
        {
            return create_alone(inner, new, &founding.by).await.map(Ok);
        }
    }
    inner.committer.create(new).await.map(Ok)
}

/// Creates a group of its creator alone, and invites the others.
async fn create_alone(
    inner: &Inner,
    new: &NewConversation,
    by: &Identity,
) -> Result<Conversation, Error> {
    let (own, others): (Vec<_>, Vec<_>) =
        new.members.iter().cloned().partition(|(user, _)| *user == by.user);
    let made = inner.committer.create(&NewConversation { members: own, ..new.clone() }).await?;
    // A repeated request invites nobody who has come since.
    let others: Vec<_> =
        others.into_iter().filter(|(user, _)| made.member(user).is_none()).collect();
    offers::invite(inner, (made.id, by), others, new.time_ms).await?;
    Ok(made)
}

/// What there is already of a conversation to be made.
async fn made(inner: &Inner, new: &NewConversation) -> Result<Option<Conversation>, Error> {
    let pair = match new.pair() {
        Some((one, other)) => inner.store.direct(one, other).await?,
        None => None,
    };
    inner.store.conversation(pair.unwrap_or(new.id)).await
}

/// Changes a conversation; see [`godwit_core::bus::Control::change`].
pub(crate) async fn change(
    inner: &Inner,
    request: &ChangeRequest,
) -> Result<Result<(Option<Entry>, Conversation), Refused>, Error> {
    if let (Ask::Add { users, .. }, Some(actor)) = (&request.ask, &request.actor)
        && users[..] == [actor.user.clone()]
        && let Some(answer) = offers::accept(inner, request, actor).await?
    {
        return Ok(answer);
    }
    if let (Ask::Add { users, role }, Some(actor)) = (&request.ask, &request.actor)
        && blocks_any(inner, &actor.user, users).await?
    {
        // Asked with nobody named, a repeated request is told what the first one did, whoever may
        // not ask learns that first, and everyone else finds nothing done.
        let nobody = Ask::Add { users: Vec::new(), role: *role };
        let answer =
            inner.committer.change(&ChangeRequest { ask: nobody, ..request.clone() }).await?;
        let answer = answer.map(|(entry, conversation)| (Some(entry), conversation));
        return Ok(answer.map_err(|refused| match refused {
            Refused::Malformed(_) => UNWANTED,
            other => other,
        }));
    }
    if let (Ask::Add { users, .. }, Some(actor)) = (&request.ask, &request.actor)
        && let Some(refused) = may_add(inner, &actor.user, request, users).await?
    {
        return Ok(Err(refused));
    }
    if let (Ask::Add { users, role }, Some(actor)) = (&request.ask, &request.actor)
        && inner.options.policy.strangers.by_invitation
        && let Some(answer) = offers::ask(inner, request, actor, (users, *role)).await?
    {
        return Ok(answer);
    }
    let changed = inner.committer.change(request).await?;
    if let Ok((entry, _)) = &changed
        && let Some(change) = entry.change()
    {
        // The store has noted it with the change; this is for whoever is connected.
        let told = change::tellings(&change, entry).into_iter().map(Signal::Told);
        inner.announce.signal(&told.collect::<Vec<_>>());
    }
    Ok(changed.map(|(entry, conversation)| (Some(entry), conversation)))
}

/// Whether a member may add users to a group. What the change itself refuses (strangers to the group,
/// roles, direct conversations) is left to it, and a repeated request that was done to it, too.
async fn may_add(
    inner: &Inner,
    user: &UserId,
    request: &ChangeRequest,
    users: &[UserId],
) -> Result<Option<Refused>, Error> {
    // A stranger learns from one row that there is nothing to ask.
    let member = inner.directory.member(request.conversation, user).await?;
    let manages = member.is_some_and(|member| member.role.may_manage());
    if !manages || users.is_empty() || users.len() > CHANGE_USERS_MAX {
        return Ok(None);
    }
    let known = inner.directory.known(request.conversation).await?;
    let Some(known) = known.filter(|known| known.kind == ConversationKind::Group) else {
        return Ok(None);
    };
    let new: BTreeSet<&UserId> = users.iter().filter(|user| known.member(user).is_none()).collect();
    if new.is_empty() {
        return Ok(None);
    }
    let new: Vec<UserId> = new.into_iter().cloned().collect();
    let members = known.members.len() + new.len();
    invite(inner, user, &new, Some(members), request.time_ms).await
}

/// Whether a user may ask others into a conversation, a group that has so many members then; `Some`:
/// why not.
async fn invite(
    inner: &Inner,
    user: &UserId,
    others: &[UserId],
    group: Option<usize>,
    time_ms: u64,
) -> Result<Option<Refused>, Error> {
    let strangers = &inner.options.policy.strangers;
    let max = members_max(inner, user);
    if group.is_some_and(|members| members > max) {
        return Ok(Some(Refused::Full { max }));
    }
    if others.is_empty() {
        return Ok(None);
    }
    // A direct conversation is how people come to know each other.
    let contacts_only = strangers.contacts_only && group.is_some();
    let strangers = Strangers { contacts_only, ..strangers.clone() };
    Ok(match inner.store.invite(user, others, &strangers, time_ms).await? {
        Invited::Yes => None,
        Invited::Stranger => Some(UNWANTED),
        Invited::TooMany => Some(TOO_MANY),
    })
}

/// How many members a group may have that this user makes and fills.
pub(crate) fn members_max(inner: &Inner, user: &UserId) -> usize {
    let options = &inner.options;
    if options.large_group_users.contains(user) {
        return MEMBERS_MAX;
    }
    options.policy.strangers.group_members_max
}

async fn blocks_any(inner: &Inner, user: &UserId, others: &[UserId]) -> Result<bool, Error> {
    Ok(!others.is_empty() && !inner.store.blocked_by(user, others).await?.is_empty())
}

/// Whether a new conversation can be one.
fn check(new: &NewConversation) -> Result<(), Refused> {
    let malformed = |text: &str| Err(Refused::Malformed(text.to_owned()));
    let distinct: BTreeSet<&UserId> = new.members.iter().map(|(user, _)| user).collect();
    if distinct.len() != new.members.len() {
        return malformed("a member is named twice");
    }
    if distinct.len() > MEMBERS_MAX {
        return Err(Refused::Full { max: MEMBERS_MAX });
    }
    let details = &new.details;
    match new.kind {
        ConversationKind::Direct if !matches!(distinct.len(), 1 | 2) => {
            return malformed("a direct conversation is between two users, or with oneself");
        }
        ConversationKind::Direct
            if !details.title.is_empty()
                || !details.description.is_empty()
                || details.history != History::default() =>
        {
            return malformed("a direct conversation has no title, description or history setting");
        }
        ConversationKind::Group if distinct.is_empty() => {
            return malformed("a group has at least one member");
        }
        ConversationKind::Direct | ConversationKind::Group => {}
    }
    change::check_details(&DetailsChange {
        title: Some(details.title.clone()),
        description: Some(details.description.clone()),
        history: Some(details.history),
        expiry_s: details.expiry_s,
        ..DetailsChange::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_core::ids::ConversationId;
    use godwit_core::membership::{Details, Role};

    fn new(kind: ConversationKind, names: &[&str], details: Details) -> NewConversation {
        NewConversation {
            id: ConversationId([1; 16]),
            kind,
            members: names.iter().map(|n| (UserId::new(n).unwrap(), Role::Member)).collect(),
            details,
            time_ms: 1,
            founding: None,
        }
    }

    #[test]
    fn what_cannot_be_a_conversation_is_refused() {
        use ConversationKind::{Direct, Group};
        let plain = Details::default;
        let titled = || Details { title: "us".to_owned(), ..plain() };
        let long = || Details { title: "x".repeat(129), ..plain() };
        let slow = || Details { expiry_s: Some(u32::MAX), ..plain() };
        let table = [
            (new(Direct, &["a", "b"], plain()), ""),
            (new(Group, &["a"], titled()), ""),
            (new(Direct, &["a"], plain()), ""),
            (new(Direct, &[], plain()), "between two"),
            (new(Direct, &["a", "b", "c"], plain()), "between two"),
            (new(Direct, &["a", "a"], plain()), "twice"),
            (new(Direct, &["a", "b"], titled()), "no title"),
            (new(Group, &[], plain()), "at least one"),
            (new(Group, &["a"], long()), "128"),
            (new(Group, &["a"], slow()), "disappear"),
        ];
        for (new, word) in table {
            match check(&new) {
                Ok(()) => assert_eq!(word, "", "{new:?}"),
                Err(refused) => {
                    assert!(!word.is_empty() && refused.to_string().contains(word), "{refused}");
                }
            }
        }
        let many: Vec<String> = (0..=MEMBERS_MAX).map(|n| format!("u{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(check(&new(Group, &many, plain())), Err(Refused::Full { max: MEMBERS_MAX }));
    }
}
