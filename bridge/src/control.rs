//! What the control plane and `q/groups` ask: conversations created and changed.

use std::collections::BTreeSet;
use std::time::Instant;

use godwit_core::bus::Signal;
use godwit_core::change::{self, Adding, Ask, ChangeRequest, DetailsChange, Refused};
use godwit_core::ids::{ConversationId, Identity, UserId};
use godwit_core::limits::MEMBERS_MAX;
use godwit_core::membership::{Conversation, ConversationKind, History, NewConversation, Role};
use godwit_core::policy::{Invited, Strangers};
use godwit_core::store::Error;

use crate::inner::Inner;
use crate::offers::{self, Changed};

/// Why nobody is brought together with someone who blocks them. It does not say that.
const UNWANTED: Refused = Refused::Forbidden("a user named cannot be asked by you");

/// Why a user brings no more people together today.
const TOO_MANY: Refused =
    Refused::Forbidden("you have asked too many people today who do not know you; ask again later");

/// Why a user brings these people together no more today.
const TOO_OFTEN: Refused = Refused::Forbidden(
    "you have asked one of them too often today, who does not know you; wait for an answer",
);

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
        let (max, group) =
            (inner.options.members_max(creator), new.kind == ConversationKind::Group);
        let refused = match group && new.members.len() > max {
            true => Some(Refused::Full { max }),
            false => may_ask(inner, creator, (&others, new.id), group, new.time_ms).await?,
        };
        if let Some(refused) = refused {
            return Ok(made(inner, new).await?.ok_or(refused));
        }
        if inner.options.policy.strangers.by_invitation
            && group
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
pub(crate) async fn change(inner: &Inner, request: &ChangeRequest) -> Result<Changed, Error> {
    if let (Ask::Add { users, role }, Some(actor)) = (&request.ask, &request.actor) {
        return add(inner, request, actor, (users, *role)).await;
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

/// A member's request to add users to a group.
///
/// Who of them would join, and whether the actor may add at all, is known under the conversation's
/// lock and nowhere else. So the store is asked first, with nobody vetted: it refuses what is not to be,
/// or names those whom the policy is then asked about.
async fn add(
    inner: &Inner,
    request: &ChangeRequest,
    actor: &Identity,
    (users, role): (&[UserId], Role),
) -> Result<Changed, Error> {
    /// Those who would join are others at the second try only if members went meanwhile.
    const TRIES: u32 = 4;
    if matches!(users, [user] if *user == actor.user)
        && let Some(answer) = offers::accept(inner, request, actor).await?
    {
        return Ok(answer);
    }
    let mut vetted = Vec::new();
    for _ in 0..TRIES {
        let adding = Adding { vetted, members_max: inner.options.members_max(&actor.user) };
        let change = ChangeRequest { adding: Some(adding), ..request.clone() };
        let new = match inner.committer.change(&change).await? {
            Err(Refused::Unvetted(new)) => new,
            changed => {
                return Ok(changed.map(|(entry, conversation)| (Some(entry), conversation)));
            }
        };
        if blocks_any(inner, &actor.user, &new).await? {
            return Ok(Err(UNWANTED));
        }
        if let Some(refused) =
            may_ask(inner, &actor.user, (&new, request.conversation), true, request.time_ms).await?
        {
            return Ok(Err(refused));
        }
        if inner.options.policy.strangers.by_invitation {
            return offers::ask(inner, request, actor, (new, role)).await;
        }
        vetted = new;
    }
    Err(Error::Unavailable("the members change faster than they can be added to".into()))
}

/// Whether a user may ask others into a conversation; `Some`: why not.
async fn may_ask(
    inner: &Inner,
    user: &UserId,
    (others, conversation): (&[UserId], ConversationId),
    group: bool,
    time_ms: u64,
) -> Result<Option<Refused>, Error> {
    if others.is_empty() {
        return Ok(None);
    }
    let strangers = &inner.options.policy.strangers;
    // A direct conversation is how people come to know each other.
    let contacts_only = strangers.contacts_only && group;
    let strangers = Strangers { contacts_only, ..strangers.clone() };
    Ok(match inner.store.invite(user, others, &strangers, time_ms).await? {
        Invited::Yes(_) if strangers.per_day == 0 => None,
        // The same ones again, into one conversation after the other, are asked too much as well.
        Invited::Yes(unknown) if inner.asked.ask(user, &unknown, conversation, Instant::now()) => {
            None
        }
        Invited::Yes(_) => Some(TOO_OFTEN),
        Invited::Stranger => Some(UNWANTED),
        Invited::TooMany => Some(TOO_MANY),
    })
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
