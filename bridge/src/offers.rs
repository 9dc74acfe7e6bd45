//! Groups by invitation (`policy.add_to_groups = "invitation"`): whoever is added is asked first, told so
//! on `x`, and accepts by adding itself. That is done in the inviter's name, so all that the inviter may
//! not do (any more) is refused then as ever.

use godwit_core::change::{Ask, ChangeRequest, Refused};
use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, Identity, UserId};
use godwit_core::limits::{CHANGE_USERS_MAX, OFFERS_KEPT_MS};
use godwit_core::membership::{Conversation, ConversationKind, Role};
use godwit_core::notice::{Telling, What};
use godwit_core::offer::Offer;
use godwit_core::store::Error;

use crate::inner::Inner;
use crate::{control, told};

/// What became of a change that was no change, or of one that was accepted.
type Answer = Result<(Option<Entry>, Conversation), Refused>;

/// Why an invitation that is there is of no use.
const OVER: Refused = Refused::Forbidden("the invitation does not hold any more");

/// Invites users into a group, in place of adding them, in the name of `by`.
pub(crate) async fn invite(
    inner: &Inner,
    (conversation, by): (ConversationId, &Identity),
    mut others: Vec<(UserId, Role)>,
    time_ms: u64,
) -> Result<(), Error> {
    // In one order, so that two who invite the same people do not wait for each other.
    others.sort_by(|(one, _), (other, _)| one.cmp(other));
    let offer = |(user, role): &(UserId, Role)| Offer {
        user: user.clone(),
        conversation,
        by: by.clone(),
        role: *role,
        time_ms,
    };
    inner.store.offer(&others.iter().map(offer).collect::<Vec<_>>()).await?;
    let telling = |(user, role)| {
        let what = What::Invited { conversation, by: by.user.clone(), role };
        Telling { user, device: None, time_ms, what }
    };
    told::tell(inner, others.into_iter().map(telling).collect()).await
}

/// A manager's request to add users to a group: those who are no members are invited. `None`: it is
/// decided as ever, for nobody would be added by it.
pub(crate) async fn ask(
    inner: &Inner,
    request: &ChangeRequest,
    actor: &Identity,
    (users, role): (&[UserId], Role),
) -> Result<Option<Answer>, Error> {
    let member = inner.directory.member(request.conversation, &actor.user).await?;
    if !member.is_some_and(|member| member.role.may_manage())
        || role == Role::Owner
        || users.len() > CHANGE_USERS_MAX
    {
        return Ok(None);
    }
    let Some(conversation) = inner.store.conversation(request.conversation).await? else {
        return Ok(None);
    };
    let stale = request.stamp.is_some_and(|stamp| stamp != conversation.stamp());
    let mut new: Vec<UserId> =
        users.iter().filter(|user| conversation.member(user).is_none()).cloned().collect();
    new.sort();
    new.dedup();
    if stale || conversation.kind != ConversationKind::Group || new.is_empty() {
        return Ok(None);
    }
    let new = new.into_iter().map(|user| (user, role)).collect();
    invite(inner, (request.conversation, actor), new, request.time_ms).await?;
    Ok(Some(Ok((None, conversation))))
}

/// A user adds itself: accepts an invitation. `None`: there is none.
pub(crate) async fn accept(
    inner: &Inner,
    request: &ChangeRequest,
    actor: &Identity,
) -> Result<Option<Answer>, Error> {
    let (user, id) = (&actor.user, request.conversation);
    let since_ms = request.time_ms.saturating_sub(OFFERS_KEPT_MS);
    let offers = inner.store.offers(user, since_ms).await?;
    let Some(offer) = offers.into_iter().find(|offer| offer.conversation == id) else {
        return Ok(None);
    };
    let Some(known) = inner.directory.read(id).await? else { return Ok(Some(Err(OVER))) };
    if known.member(user).is_some() {
        // Accepted already, and the answer was lost; or added by somebody else.
        inner.store.take_offer(user, id).await?;
        let conversation = inner.store.conversation(id).await?;
        return Ok(Some(conversation.map(|found| (None, found)).ok_or(OVER)));
    }
    let max = control::members_max(inner, &offer.by.user);
    if known.members.len() >= max {
        return Ok(Some(Err(Refused::Full { max })));
    }
    // The key is the user's, and whoever asks again is a member then.
    let change = ChangeRequest {
        actor: Some(offer.by),
        ask: Ask::Add { users: vec![user.clone()], role: offer.role },
        stamp: None,
        key: godwit_core::commit::SendKey::Server(request.message_id),
        ..request.clone()
    };
    let changed = inner.committer.change(&change).await?;
    if !matches!(changed, Err(Refused::Full { .. })) {
        inner.store.take_offer(user, id).await?;
    }
    Ok(Some(match changed {
        Ok((entry, conversation)) => Ok((Some(entry), conversation)),
        Err(Refused::Forbidden(_) | Refused::Unknown) => Err(OVER),
        Err(refused) => Err(refused),
    }))
}
