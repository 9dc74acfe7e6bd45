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

use crate::limits::{ASKED_AGAIN_FOR, ASKED_AGAIN_MAX, ASKED_NOTES_MAX};

/// All pairs of who asks and who is asked.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// By a hash of the pair: the conversations, by a hash too, and when.
    pairs: Mutex<Pairs>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Pairs {
    of: HashMap<u64, Vec<(u64, Instant)>>,
    /// How many conversations stand there in all.
    notes: usize,
}

impl Pairs {
    /// Makes room for one more: what is over goes first, then one pair of eight, drawn by lot.
    fn make_room(&mut self, now: Instant) {
        if self.notes < ASKED_NOTES_MAX {
            return;
        }
        self.of.retain(|_, asked| asked.iter().any(|(_, at)| is_recent(*at, now)));
        if self.count() >= ASKED_NOTES_MAX {
            let lot = RandomState::new();
            self.of.retain(|key, _| lot.hash_one(key) % 8 != 0);
        }
        shrink(&mut self.of);
        self.notes = self.count();
    }

    fn count(&self) -> usize {
        self.of.values().map(Vec::len).sum()
    }
}

fn is_recent(at: Instant, now: Instant) -> bool {
    now.duration_since(at) < ASKED_AGAIN_FOR
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
        for key in &keys {
            let Pairs { of, notes } = &mut *pairs;
            let Some(asked) = of.get_mut(key) else { continue };
            *notes -= asked.len();
            asked.retain(|(_, at)| is_recent(*at, now));
            *notes += asked.len();
            let again = asked.iter().any(|(into, _)| *into == conversation);
            if !again && asked.len() >= ASKED_AGAIN_MAX {
                return false;
            }
        }
        for key in keys {
            pairs.make_room(now);
            let asked = pairs.of.entry(key).or_default();
            if asked.iter().all(|(into, _)| *into != conversation) {
                asked.push((conversation, now));
                pairs.notes += 1;
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
            (from..from + 2 * ASKED_AGAIN_MAX).filter(|n| asked.ask(who, one, cid(*n), at)).count()
        };
        for _ in 0..20 {
            assert!(asked.ask(&alice, std::slice::from_ref(&bob), cid(0), now), "a repetition");
        }
        assert_eq!(asks(&alice, &bob, 0, now), ASKED_AGAIN_MAX);
        // Who is refused has taken nothing.
        assert!(!asked.ask(&alice, &[carol.clone(), bob.clone()], cid(900), now));
        assert_eq!(asks(&alice, &carol, 0, now), ASKED_AGAIN_MAX);
        assert_eq!(asks(&carol, &bob, 0, now), ASKED_AGAIN_MAX);
        assert_eq!(asks(&alice, &bob, 300, now + ASKED_AGAIN_FOR), ASKED_AGAIN_MAX);
        assert!(asked.ask(&alice, &[], cid(901), now));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (asked, now) = (Asked::default(), Instant::now());
        let alice = user("alice");
        let crowd = |name: &str| -> Vec<UserId> {
            (0..ASKED_NOTES_MAX / 50).map(|n| user(&format!("{name}{n}"))).collect()
        };
        let ask = |crowd: &[UserId], at| {
            for n in 0..51 {
                assert!(asked.ask(&alice, crowd, cid(n), at));
                let pairs = asked.pairs.lock();
                assert!(pairs.notes <= ASKED_NOTES_MAX && pairs.notes == pairs.count());
            }
            asked.pairs.lock().notes
        };
        let left = ask(&crowd("u"), now);
        assert!(left > ASKED_NOTES_MAX / 2, "{left}");
        // What is over goes first.
        let left = ask(&crowd("v"), now + ASKED_AGAIN_FOR);
        assert!(left > ASKED_NOTES_MAX / 2, "{left}");
    }
}
