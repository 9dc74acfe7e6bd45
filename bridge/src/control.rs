//! What the control plane and `q/groups` ask: conversations created and changed.

use std::collections::BTreeSet;

use godwit_core::change::{self, Ask, ChangeRequest, DetailsChange, Refused};
use godwit_core::entry::Entry;
use godwit_core::ids::UserId;
use godwit_core::limits::MEMBERS_MAX;
use godwit_core::membership::{Conversation, ConversationKind, History, NewConversation};
use godwit_core::store::Error;

use crate::inner::Inner;

/// Why nobody is brought together with someone who blocks them. It does not say that.
const UNWANTED: Refused = Refused::Forbidden("a user named cannot be asked by you");

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
    }
    inner.committer.create(new).await.map(Ok)
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
) -> Result<Result<(Entry, Conversation), Refused>, Error> {
    if let (Ask::Add { users, role }, Some(actor)) = (&request.ask, &request.actor)
        && blocks_any(inner, &actor.user, users).await?
    {
        // Asked with nobody named, a repeated request is told what the first one did, whoever may
        // not ask learns that first, and everyone else finds nothing done.
        let nobody = Ask::Add { users: Vec::new(), role: *role };
        let answer =
            inner.committer.change(&ChangeRequest { ask: nobody, ..request.clone() }).await?;
        return Ok(answer.map_err(|refused| match refused {
            Refused::Malformed(_) => UNWANTED,
            other => other,
        }));
    }
    inner.committer.change(request).await
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
