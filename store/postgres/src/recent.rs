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
        Found::of(&self.head) == found
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

#[cfg(test)]
mod tests {
    use godwit_core::commit::{Act, SendKey};
    use godwit_core::entry::ChainHash;
    use godwit_core::ids::{Identity, MessageId, Seq};
    use godwit_core::membership::{ConversationKind, Role};

    use super::*;

    const ID: ConversationId = ConversationId([1; 16]);

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    /// A head at a place, moved by one.
    fn moved(seq: u64, group_version: u64) -> Moved {
        let head = Head {
            seq: Seq(seq),
            chain: ChainHash::ZERO,
            group_version,
            number: seq,
            active: (Seq(seq), 0),
            kind: ConversationKind::Group,
            expiry_s: None,
        };
        let found = Found { seq: Seq(seq - 1), group_version, chain: ChainHash::ZERO };
        Moved { conversation: ID, found, head }
    }

    fn standing(name: &str) -> Standings {
        let standing = Standing { role: Role::Member, visible_seq: Seq::ZERO, blocked: false };
        Standings::from([((ID, user(name)), standing)])
    }

    fn send(name: &str, act: Act) -> SendRequest {
        let from: Identity = format!("{name}:d").parse().unwrap();
        SendRequest {
            conversation: ID,
            from,
            key: SendKey::Server(MessageId([1; 16])),
            message_id: MessageId([1; 16]),
            act,
            body: bytes::Bytes::new(),
            group_version: None,
            previous_chain: None,
            expires_ms: None,
            time_ms: 0,
            reads: true,
        }
    }

    /// Where the conversation is believed to stand, if the sender is known there.
    fn known(recent: &Recent, name: &str) -> Option<u64> {
        recent.load(&[send(name, Act::MESSAGE)]).map(|loaded| loaded.heads[&ID].seq.0)
    }

    #[test]
    fn senders_are_known_while_the_head_is_followed() {
        let recent = Recent::default();
        assert_eq!(known(&recent, "alice"), None);
        recent.note(&[moved(1, 1)], standing("alice"));
        recent.note(&[moved(2, 1)], standing("bob"));
        recent.note(&[moved(3, 1)], Standings::new());
        assert_eq!((known(&recent, "alice"), known(&recent, "bob")), (Some(3), Some(3)));
        assert_eq!(known(&recent, "eve"), None);
        assert!(recent.load(&[send("alice", Act::edit(Seq(1)))]).is_none());
        // Another process wrote in between, or raised the group version.
        recent.note(&[moved(5, 1)], standing("bob"));
        assert_eq!((known(&recent, "alice"), known(&recent, "bob")), (None, Some(5)));
        recent.note(&[moved(6, 2)], standing("alice"));
        assert_eq!((known(&recent, "alice"), known(&recent, "bob")), (Some(6), None));
        recent.forget(&[send("alice", Act::MESSAGE)]);
        assert_eq!(known(&recent, "alice"), None);
    }

    #[test]
    fn a_batch_that_is_noted_late_changes_nothing() {
        let recent = Recent::default();
        recent.note(&[moved(7, 1)], standing("alice"));
        recent.note(&[moved(6, 1)], standing("bob"));
        assert_eq!((known(&recent, "alice"), known(&recent, "bob")), (Some(7), None));
    }

    #[test]
    fn memory_is_bounded() {
        let recent = Recent::default();
        for number in 0..=RECENT_SENDERS_MAX as u64 {
            recent.note(&[moved(number + 1, 1)], standing(&format!("user-{number}")));
        }
        let last = format!("user-{RECENT_SENDERS_MAX}");
        assert_eq!(known(&recent, "user-0"), None);
        assert_eq!(known(&recent, &last), Some(RECENT_SENDERS_MAX as u64 + 1));
        for number in 0..=RECENT_CONVERSATIONS_MAX as u64 {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            let moved = Moved { conversation: ConversationId(id), ..moved(1, 1) };
            recent.note(&[moved], Standings::new());
        }
        let kept = recent.0.lock().unwrap().len();
        assert!(kept <= RECENT_CONVERSATIONS_MAX, "{kept}");
        assert_eq!(known(&recent, &last), None);
    }
}
