//! One device's side of receipts: which acknowledgements count, and what waits to be told. No I/O.

use std::collections::{BTreeMap, HashMap, VecDeque};

use godwit_core::cursor::Mark;
use godwit_core::ids::{ConversationId, Seq, UserId};
use godwit_core::receipt::{Cursors, Place};

use crate::limits;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Device {
    /// Deliveries under way whose arrival is no receipt: the user's own messages, and QoS 0.
    /// Bounded by the link's queue and window.
    uncounted: VecDeque<Mark>,
    /// The newest places that wait to be told; see [`limits::RECEIPTS_TOLD_MAX`].
    waiting: BTreeMap<(ConversationId, UserId), Cursors>,
    /// How far the device knows its own user to have read, where that was a subject of late.
    own: HashMap<ConversationId, Seq>,
    /// A time is set at which `waiting` is told.
    pub(super) scheduled: bool,
}

impl Device {
    /// A delivery goes out whose arrival is no receipt.
    pub(crate) fn uncount(&mut self, mark: Mark) {
        self.uncounted.push_back(mark);
    }

    /// The marks that are receipts; `None`: all of them.
    pub(crate) fn counted(&mut self, marks: &[Mark]) -> Option<Vec<Mark>> {
        if self.uncounted.is_empty() {
            return None;
        }
        let mut counted = Vec::with_capacity(marks.len());
        for mark in marks {
            // Marks come back in the order in which they went out, so it is among the first.
            match self.uncounted.iter().position(|uncounted| uncounted == mark) {
                Some(at) => drop(self.uncounted.remove(at)),
                None => counted.push(*mark),
            }
        }
        if self.uncounted.is_empty() {
            self.uncounted = VecDeque::new();
        }
        Some(counted)
    }

    /// The device has reported this itself: it need not be told.
    pub(crate) fn reported(&mut self, places: &[Place]) {
        for place in places {
            self.knows_own(place.conversation, place.read);
        }
    }

    /// Notes how far the device's own user has read; `true`: that was not known.
    pub(crate) fn knows_own(&mut self, conversation: ConversationId, read: Seq) -> bool {
        let known = self.own.get(&conversation).copied().unwrap_or_default();
        if read <= known {
            return false;
        }
        if self.own.len() >= limits::RECEIPTS_OWN_MAX {
            // Forgetting costs a receipt that says nothing new.
            self.own.clear();
        }
        self.own.insert(conversation, read);
        true
    }

    /// Queues a user's newest place; `false`: too many wait.
    pub(super) fn put(
        &mut self,
        conversation: ConversationId,
        user: &UserId,
        cursors: Cursors,
    ) -> bool {
        let full = self.waiting.len() >= limits::RECEIPTS_TOLD_MAX;
        match self.waiting.entry((conversation, user.clone())) {
            std::collections::btree_map::Entry::Occupied(mut at) => {
                let now = at.get_mut();
                now.delivered = now.delivered.max(cursors.delivered);
                now.read = now.read.max(cursors.read);
                true
            }
            std::collections::btree_map::Entry::Vacant(at) if !full => {
                at.insert(cursors);
                true
            }
            std::collections::btree_map::Entry::Vacant(_) => false,
        }
    }

    /// Something waits, and no time is set to tell it.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.waiting.is_empty() && !self.scheduled
    }

    /// What waits for the first conversation, at most `max` users; it stays until it is
    /// [`Device::told`].
    pub(super) fn first(&self, max: usize) -> Option<(ConversationId, Vec<(&UserId, Cursors)>)> {
        let ((conversation, _), _) = self.waiting.first_key_value()?;
        let users = self.waiting.iter().take_while(|((id, _), _)| id == conversation).take(max);
        Some((*conversation, users.map(|((_, user), cursors)| (user, *cursors)).collect()))
    }

    /// The first `count` have been told.
    pub(super) fn told(&mut self, count: usize) {
        for _ in 0..count {
            self.waiting.pop_first();
        }
    }

    /// The device is told nothing more of this conversation.
    pub(crate) fn cut(&mut self, conversation: ConversationId) {
        self.waiting.retain(|(id, _), _| *id != conversation);
        self.own.remove(&conversation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_core::cursor::Feed;

    const A: ConversationId = ConversationId([1; 16]);
    const B: ConversationId = ConversationId([2; 16]);

    fn mark(seq: u64) -> Mark {
        Mark { feed: Feed::Log, conversation: A, seq: Seq(seq) }
    }

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn at(delivered: u64, read: u64) -> Cursors {
        Cursors { delivered: Seq(delivered), read: Seq(read) }
    }

    #[test]
    fn own_messages_are_no_receipts() {
        let mut device = Device::default();
        assert_eq!(device.counted(&[mark(1), mark(2)]), None);
        device.uncount(mark(4));
        device.uncount(mark(6));
        assert_eq!(device.counted(&[mark(3), mark(4), mark(5)]), Some(vec![mark(3), mark(5)]));
        assert_eq!(device.counted(&[mark(6)]), Some(vec![]));
        assert_eq!(device.counted(&[mark(7)]), None);
    }

    #[test]
    fn what_waits_is_the_newest() {
        let mut device = Device::default();
        for seq in 1..=1000 {
            assert!(device.put(A, &user("bob"), at(1000, seq)));
        }
        // Older news may come later.
        assert!(device.put(A, &user("bob"), at(3, 0)));
        assert!(device.put(A, &user("carol"), at(5, 0)));
        assert!(device.put(B, &user("bob"), at(1, 1)));
        let (bob, carol) = (user("bob"), user("carol"));
        assert_eq!(device.first(9), Some((A, vec![(&bob, at(1000, 1000)), (&carol, at(5, 0))])));
        assert_eq!(device.first(1).unwrap().1.len(), 1);
        assert!(device.is_stuck());
        device.told(2);
        assert_eq!(device.first(9), Some((B, vec![(&bob, at(1, 1))])));
        device.cut(B);
        assert!(device.first(9).is_none() && !device.is_stuck());
    }

    #[test]
    fn a_full_device_still_takes_what_it_holds() {
        let mut device = Device::default();
        for n in 0..limits::RECEIPTS_TOLD_MAX {
            assert!(device.put(A, &user(&format!("u{n}")), at(1, 0)));
        }
        assert!(!device.put(A, &user("one-more"), at(1, 0)));
        assert!(device.put(A, &user("u7"), at(2, 0)));
    }

    #[test]
    fn a_device_knows_what_it_has_reported() {
        let mut device = Device::default();
        device.reported(&[Place { conversation: A, delivered: Seq(9), read: Seq(5) }]);
        assert!(!device.knows_own(A, Seq(5)) && !device.knows_own(B, Seq::ZERO));
        assert!(device.knows_own(A, Seq(6)) && !device.knows_own(A, Seq(6)));
        for n in 0..=limits::RECEIPTS_OWN_MAX {
            let mut id = [9; 16];
            id[..8].copy_from_slice(&n.to_be_bytes());
            device.knows_own(ConversationId(id), Seq(1));
        }
        assert!(device.own.len() <= limits::RECEIPTS_OWN_MAX);
    }
}
