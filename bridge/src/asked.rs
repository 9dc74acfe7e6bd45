//! Into how many conversations a user has lately asked each of those who do not know the user.
//!
//! In memory, as rates are: a restart forgets it. Who is a stranger, and how many of them a user asks in a
//! day, the store knows.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Instant;

use godwit_core::ids::{ConversationId, UserId};
use godwit_core::shrink::shrink;
use parking_lot::Mutex;

use crate::limits::{ASKED_AGAIN_FOR, ASKED_AGAIN_MAX, ASKED_PAIRS_MAX};

/// All pairs of who asks and who is asked.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// By a hash of the pair: the conversations, by a hash too, and when.
    pairs: Mutex<HashMap<u64, Vec<(u64, Instant)>>>,
    hasher: RandomState,
}

impl Asked {
    /// Whether a user may ask these strangers into a conversation, which is noted then. The same one again
    /// (a repeated request) is no other one.
    pub(crate) fn ask(
        &self,
        user: &UserId,
        strangers: &[UserId],
        conversation: ConversationId,
        now: Instant,
    ) -> bool {
        let conversation = self.hasher.hash_one(conversation);
        let keys: Vec<u64> =
            strangers.iter().map(|other| self.hasher.hash_one((user, other))).collect();
        let mut pairs = self.pairs.lock();
        let recent = |at: &Instant| now.duration_since(*at) < ASKED_AGAIN_FOR;
        for key in &keys {
            let Some(asked) = pairs.get_mut(key) else { continue };
            asked.retain(|(_, at)| recent(at));
            let again = asked.iter().any(|(into, _)| *into == conversation);
            if !again && asked.len() >= ASKED_AGAIN_MAX {
                return false;
            }
        }
        for key in keys {
            if pairs.len() >= ASKED_PAIRS_MAX && !pairs.contains_key(&key) {
                pairs.retain(|_, asked| asked.iter().any(|(_, at)| recent(at)));
                // Of those that are left some are asked once more: any, for their hashes are as good as
                // drawn by lot.
                if pairs.len() >= ASKED_PAIRS_MAX {
                    pairs.retain(|key, _| key % 8 != 0);
                }
                shrink(&mut pairs);
            }
            let asked = pairs.entry(key).or_default();
            if asked.iter().all(|(into, _)| *into != conversation) {
                asked.push((conversation, now));
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn cid(n: usize) -> ConversationId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
        ConversationId(bytes)
    }

    #[test]
    fn a_stranger_is_asked_again_only_so_often() {
        let (asked, now) = (Asked::default(), Instant::now());
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(user);
        let asks = |who: &UserId, whom: &UserId, from: usize, at| {
            let one = std::slice::from_ref(whom);
            (from..from + 50).filter(|n| asked.ask(who, one, cid(*n), at)).count()
        };
        for _ in 0..20 {
            assert!(asked.ask(&alice, std::slice::from_ref(&bob), cid(0), now), "a repetition");
        }
        assert_eq!(asks(&alice, &bob, 0, now), ASKED_AGAIN_MAX);
        // Who is refused has taken nothing.
        assert!(!asked.ask(&alice, &[carol.clone(), bob.clone()], cid(90), now));
        assert_eq!(asks(&alice, &carol, 0, now), ASKED_AGAIN_MAX);
        assert_eq!(asks(&carol, &bob, 0, now), ASKED_AGAIN_MAX);
        assert_eq!(asks(&alice, &bob, 50, now + ASKED_AGAIN_FOR), ASKED_AGAIN_MAX);
        assert!(asked.ask(&alice, &[], cid(91), now));
    }

    #[test]
    fn pairs_are_bounded() {
        let (asked, now) = (Asked::default(), Instant::now());
        let alice = user("alice");
        for n in 0..ASKED_PAIRS_MAX + 5 {
            assert!(asked.ask(&alice, &[user(&format!("u{n}"))], cid(1), now));
        }
        let left = asked.pairs.lock().len();
        assert!((ASKED_PAIRS_MAX / 2..ASKED_PAIRS_MAX).contains(&left), "{left}");
        // What is over goes first.
        let later = now + ASKED_AGAIN_FOR;
        for n in 0..ASKED_PAIRS_MAX {
            assert!(asked.ask(&alice, &[user(&format!("v{n}"))], cid(1), later));
        }
        assert!(asked.pairs.lock().len() <= ASKED_PAIRS_MAX);
    }
}
