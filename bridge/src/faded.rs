//! How far conversations were routed whose routes were forgotten, for as long as something that was
//! routed may still come again.

use std::collections::HashMap;
use std::time::Instant;

use godwit_core::ids::{ConversationId, Seq};

use crate::limits;

/// Two generations: what was put there stays for one to two times `limits::FADED_FOR`.
#[derive(Debug)]
pub(crate) struct Faded {
    young: HashMap<ConversationId, Seq>,
    old: HashMap<ConversationId, Seq>,
    since: Instant,
}

impl Faded {
    pub(crate) fn new(now: Instant) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), since: now }
    }

    /// A route is forgotten.
    pub(crate) fn put(&mut self, id: ConversationId, routed: Seq, now: Instant) {
        self.turn(now);
        if self.young.len() >= limits::FADED_CONVERSATIONS_MAX {
            self.old = std::mem::take(&mut self.young);
            self.since = now;
        }
        self.young.insert(id, routed);
    }

    /// A route is made.
    pub(crate) fn take(&mut self, id: ConversationId, now: Instant) -> Option<Seq> {
        self.turn(now);
        let old = self.old.remove(&id);
        self.young.remove(&id).or(old)
    }

    fn turn(&mut self, now: Instant) {
        let age = now.duration_since(self.since);
        if age < limits::FADED_FOR {
            return;
        }
        self.old = std::mem::take(&mut self.young);
        if age >= limits::FADED_FOR * 2 {
            self.old = HashMap::new();
        }
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fades_is_remembered_for_a_while() {
        let start = Instant::now();
        let id = |n: u8| ConversationId([n; 16]);
        let mut faded = Faded::new(start);
        faded.put(id(1), Seq(7), start);
        faded.put(id(2), Seq(9), start);
        assert_eq!(faded.take(id(1), start), Some(Seq(7)));
        assert_eq!(faded.take(id(1), start), None);
        let later = start + limits::FADED_FOR;
        faded.put(id(3), Seq(3), later);
        assert_eq!(faded.take(id(2), later), Some(Seq(9)), "a generation back");
        let late = later + limits::FADED_FOR * 2;
        assert_eq!(faded.take(id(3), late), None);
        assert!(faded.young.is_empty() && faded.old.is_empty());
    }

    #[test]
    fn it_is_bounded() {
        let start = Instant::now();
        let mut faded = Faded::new(start);
        for n in 0..limits::FADED_CONVERSATIONS_MAX as u128 * 3 {
            faded.put(ConversationId(n.to_be_bytes()), Seq(1), start);
            assert!(faded.young.len() + faded.old.len() <= limits::FADED_CONVERSATIONS_MAX * 2);
        }
    }
}
