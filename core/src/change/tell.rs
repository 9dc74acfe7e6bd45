//! What a decided change leaves behind: the entry that tells of it, the conversation after it, and the
//! notices for those whom it concerns.

use super::{Change, ChangeRequest, DetailsChange};
use crate::commit::Head;
use crate::entry::{ChainHash, Entry, NewEntry};
use crate::ids::{ConversationId, Identity, MessageId, Seq, UserId};
use crate::limits::CHANGE_USERS_MAX;
use crate::membership::{Conversation, Details, Founding, History, NewConversation};
use crate::notice::{Telling, What};

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

/// The first entry of a new conversation's log, which tells of its creation, and the head there.
#[must_use]
pub fn founded(new: &NewConversation, founding: &Founding) -> (Entry, Head) {
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
    let entry = entry_of(&change, place, &founding.by, (founding.message_id, new.time_ms), 0);
    let head = Head {
        seq: entry.seq,
        chain: entry.chain,
        group_version: 1,
        number: 0,
        active: (entry.seq, new.time_ms),
        kind: new.kind,
        expiry_s: *expiry_s,
    };
    (entry, head)
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
