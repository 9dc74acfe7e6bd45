//! What this process has just committed, so that the next commit need not read it again.
//!
//! Everything that happens to a conversation moves its head or raises its group version. So if the
//! head still stands where this process left it, then its chain and settings and the senders known
//! at it stand, too; and the statement that writes checks just that. Earlier keys are not
//! remembered: their unique constraint refuses what was committed before. Nor are messages: a send
//! about one asks the store. Being wrong costs one statement, never an entry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use godwit_core::commit::{Head, Loaded, Send as SendRequest, Standing};
use godwit_core::ids::{ConversationId, UserId};

use crate::commit::{Found, Moved};
use crate::limits::{RECENT_CONVERSATIONS_MAX, RECENT_SENDERS_MAX};

/// Senders as members, as [`Loaded::members`] holds them.
pub(crate) type Standings = HashMap<(ConversationId, UserId), Standing>;

/// A conversation where this process left it.
#[derive(Debug)]
struct Left {
    head: Head,
    /// Users that have sent since this process follows the head without a gap.
    senders: Vec<(UserId, Standing)>,
}

impl Left {
    /// Nothing came in between, so the senders known stand as they did.
    fn stands_at(&self, found: Found) -> bool {
        self.head.seq == found.seq && self.head.group_version == found.group_version
    }

    fn standing(&self, user: &UserId) -> Option<Standing> {
        self.senders.iter().find(|(sender, _)| sender == user).map(|(_, standing)| *standing)
    }
}

/// The conversations that this process wrote last. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recent(Arc<Mutex<HashMap<ConversationId, Left>>>);

impl Recent {
    /// What a batch touches, if all of it is known.
    pub(crate) fn load(&self, batch: &[SendRequest]) -> Option<Loaded> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut loaded = Loaded::default();
        for send in batch {
            if send.act.target().is_some() {
                return None;
            }
            let left = recent.get(&send.conversation)?;
            let standing = left.standing(&send.from.user)?;
            loaded.heads.insert(send.conversation, left.head);
            loaded.members.insert((send.conversation, send.from.user.clone()), standing);
        }
        Some(loaded)
    }

    /// Notes where a plan that was written has left its heads, and what the store said of its
    /// senders when it was asked.
    pub(crate) fn note(&self, heads: &[Moved], standings: Standings) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() + heads.len() > RECENT_CONVERSATIONS_MAX {
            recent.clear();
        }
        for Moved { conversation, found, head } in heads {
            match recent.get_mut(conversation) {
                Some(left) if left.stands_at(*found) => left.head = *head,
                // A batch that came after this one was noted before it.
                Some(left) if left.head.seq > head.seq => {}
                _ => {
                    let left = Left { head: *head, senders: Vec::new() };
                    recent.insert(*conversation, left);
                }
            }
        }
        for ((conversation, user), standing) in standings {
            // Heads are ordered by their ids. Of conversations that were not written, nothing says
            // that they stand.
            let place = heads.binary_search_by_key(&conversation, |moved| moved.conversation);
            let Some(moved) = place.ok().and_then(|place| heads.get(place)) else { continue };
            let Some(left) = recent.get_mut(&conversation) else { continue };
            if left.head == moved.head && left.standing(&user).is_none() {
                if left.senders.len() == RECENT_SENDERS_MAX {
                    left.senders.clear();
                }
                left.senders.push((user, standing));
            }
        }
    }

    /// Forgets the conversations of a batch that was not written as expected.
    pub(crate) fn forget(&self, batch: &[SendRequest]) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for send in batch {
            recent.remove(&send.conversation);
        }
    }
}
