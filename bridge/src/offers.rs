//! Groups by invitation (`policy.add_to_groups = "invitation"`): whoever is added is asked first, told so
//! on `x`, and accepts by adding itself. That is done in the inviter's name, so all that the inviter may
//! not do (any more) is refused then as ever.

use godwit_core::change::{Adding, Ask, ChangeRequest, Refused};
use godwit_core::commit::SendKey;
use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, Identity, UserId};
use godwit_core::limits::OFFERS_KEPT_MS;
use godwit_core::membership::{Conversation, Role};
use godwit_core::notice::{Telling, What};
use godwit_core::offer::Offer;
use godwit_core::store::Error;

use crate::inner::Inner;
use crate::told;

/// What became of a change; without an entry nothing was changed: somebody was invited, or it was so
/// already.
pub(crate) type Changed = Result<(Option<Entry>, Conversation), Refused>;

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

/// A manager's request to add users to a group: these, who would join, are invited.
pub(crate) async fn ask(
    inner: &Inner,
    request: &ChangeRequest,
    actor: &Identity,
    (new, role): (Vec<UserId>, Role),
) -> Result<Changed, Error> {
    let new = new.into_iter().map(|user| (user, role)).collect();
    invite(inner, (request.conversation, actor), new, request.time_ms).await?;
    so_it_is(inner, request.conversation).await
}

/// A user adds itself: accepts an invitation. `None`: there is none.
pub(crate) async fn accept(
    inner: &Inner,
    request: &ChangeRequest,
    actor: &Identity,
) -> Result<Option<Changed>, Error> {
    let (user, id) = (&actor.user, request.conversation);
    let since_ms = request.time_ms.saturating_sub(OFFERS_KEPT_MS);
    let offers = inner.store.offers(user, since_ms).await?;
    let offer = offers.into_iter().find(|offer| offer.conversation == id);
    let by_invitation = inner.options.policy.strangers.by_invitation;
    if (offer.is_some() || by_invitation) && inner.store.member(id, user).await?.is_some() {
        // Accepted already, and the answer was lost; or added by somebody else.
        inner.store.take_offer(user, id).await?;
        return so_it_is(inner, id).await.map(Some);
    }
    let Some(offer) = offer else { return Ok(None) };
    let members_max = inner.options.members_max(&offer.by.user);
    // The key is the user's, and whoever asks again is a member then.
    let change = ChangeRequest {
        actor: Some(offer.by),
        ask: Ask::Add { users: vec![user.clone()], role: offer.role },
        stamp: None,
        adding: Some(Adding { vetted: vec![user.clone()], members_max }),
        key: SendKey::Server(request.message_id),
        ..request.clone()
    };
    let changed = inner.committer.change(&change).await?;
    if !matches!(changed, Err(Refused::Full { .. })) {
        inner.store.take_offer(user, id).await?;
    }
    Ok(Some(match changed {
        Ok((entry, conversation)) => Ok((Some(entry), conversation)),
        // Another device of the user's was quicker.
        Err(Refused::Nothing(_)) => so_it_is(inner, id).await?,
        Err(Refused::Forbidden(_) | Refused::Unknown) => Err(OVER),
        Err(refused) => Err(refused),
    }))
}

/// The conversation as it is, without a change.
async fn so_it_is(inner: &Inner, id: ConversationId) -> Result<Changed, Error> {
    let conversation = inner.store.conversation(id).await?;
    Ok(conversation.map(|found| (None, found)).ok_or(Refused::Unknown))
}
