//! What this process has just committed, so that the next commit need not read it again.
//!
//! Everything that happens to a conversation moves its head. So if the head still stands where this
//! process left it, then its chain, its group version and the members known at it stand, too; and
//! the statement that writes checks just that. Earlier keys are not remembered: their unique
//! constraint refuses what was committed before. Being wrong costs one statement, never an entry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use godwit_core::commit::{Committed, Head, Loaded, Send as SendRequest};
use godwit_core::ids::{ConversationId, UserId};

use crate::limits::RECENT_CONVERSATIONS_MAX;

/// A conversation where this process left it.
#[derive(Debug)]
struct Left {
    head: Head,
    /// Users that have sent since this process follows the head without a gap: members all.
    members: Vec<UserId>,
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
            let left = recent.get(&send.conversation)?;
            if !left.members.contains(&send.from.user) {
                return None;
            }
            loaded.heads.insert(send.conversation, left.head);
            loaded.members.insert((send.conversation, send.from.user.clone()));
        }
        Some(loaded)
    }

    /// Notes where a commit has left its conversations.
    pub(crate) fn note(&self, committed: &Committed) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() + committed.entries.len() > RECENT_CONVERSATIONS_MAX {
            recent.clear();
        }
        for (entry, group_version) in &committed.entries {
            let head = Head { seq: entry.seq, chain: entry.chain, group_version: *group_version };
            match recent.get_mut(&entry.conversation) {
                // Nothing came in between, so the members known before are members still.
                Some(left) if left.head.seq.next() == entry.seq => {
                    left.head = head;
                    if !left.members.contains(&entry.sender) {
                        left.members.push(entry.sender.clone());
                    }
                }
                _ => {
                    let members = vec![entry.sender.clone()];
                    recent.insert(entry.conversation, Left { head, members });
                }
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
