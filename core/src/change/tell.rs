//! What a decided change leaves behind: the entry that tells of it, the conversation after it, and the
//! notices for those whom it concerns.

use super::{Change, ChangeRequest, DetailsChange};
use crate::commit::Head;
use crate::entry::{ChainHash, Entry, NewEntry};
use crate::ids::{ConversationId, Identity, MessageId, Seq, UserId};
use crate::limits::CHANGE_USERS_MAX;
use crate::membership::{Conversation, Details, Founding, History, Member, NewConversation};
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

impl Conversation {
    /// The conversation after a change at the place `seq`, with the head as it was.
    fn take(&mut self, change: &Change, seq: Seq) {
        match change {
            // The conversation comes into being with its members.
            Change::Created { .. } => {}
            Change::Added { group_version, users, role, first_tag } => {
                self.group_version = *group_version;
                // The newcomer sees the entry that tells of it.
                let joined_seq = Seq(seq.0.saturating_sub(1));
                let visible_seq = match self.details.history {
                    History::FromJoin => joined_seq,
                    History::All => Seq::ZERO,
                };
                self.members.extend(users.iter().zip(*first_tag..).map(|(user, tag)| Member {
                    user: user.clone(),
                    role: *role,
                    joined_seq,
                    visible_seq,
                    tag,
                    blocked: false,
                }));
                self.members.sort_by(|a, b| a.user.cmp(&b.user));
                // At most MEMBERS_MAX at once.
                let added = u32::try_from(users.len()).unwrap_or(u32::MAX);
                self.next_tag = first_tag.saturating_add(added);
            }
            Change::Removed { group_version, users } => {
                self.group_version = *group_version;
                self.members.retain(|member| users.binary_search(&member.user).is_err());
            }
            Change::Roles { group_version, roles } => {
                self.group_version = *group_version;
                for member in &mut self.members {
                    if let Some((_, role)) = roles.iter().find(|(user, _)| *user == member.user) {
                        member.role = *role;
                    }
                }
            }
            Change::Details(change) => {
                let details = &mut self.details;
                if let Some(title) = &change.title {
                    (details.title, details.title_seq) = (title.clone(), seq);
                }
                if let Some(description) = &change.description {
                    (details.description, details.description_seq) = (description.clone(), seq);
                }
                details.history = change.history.unwrap_or(details.history);
                if let Some(expiry_s) = change.expiry_s {
                    details.expiry_s = (expiry_s > 0).then_some(expiry_s);
                }
                details.changed_seq = seq;
            }
        }
    }
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
