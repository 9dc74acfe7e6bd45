//! What a device has said of itself on `p`, and the head notices that follow from it. No I/O.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use godwit_core::ids::{ConversationId, Seq};
use godwit_core::presence::Declared;

/// The least time between two head notices of a conversation to a device.
pub(crate) const NOTICE_PAUSE: Duration = Duration::from_secs(1);

/// Notices that are remembered before those whose pause is over are forgotten.
const NOTICES_SWEPT_AT: usize = 64;

/// What a device has said of itself; one that says nothing has none.
#[derive(Debug, Default)]
pub(crate) struct Stance {
    /// Its last word.
    pub(crate) declared: Declared,
    /// The conversations that are open on screen; at most `limits::OPEN_MAX`.
    pub(crate) open: Vec<ConversationId>,
    /// Those of them whose members it is still to be told of, each once.
    untold: Vec<ConversationId>,
    /// A task tells it.
    telling: bool,
    /// Counts what it has said: of two words that are being checked, the later one counts.
    pub(crate) said: u64,
    /// Bounded by the large groups of the user.
    notices: BTreeMap<ConversationId, Notice>,
}

#[derive(Debug)]
struct Notice {
    head: Seq,
    /// No notice before this moment.
    next: Instant,
    /// `head` is still to be told.
    owed: bool,
}

/// What to do about a log that has grown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    /// Tell it.
    Now,
    /// Call [`Stance::owed`] at that moment.
    At(Instant),
    /// That will be done already.
    Waits,
}

impl Stance {
    /// A log has grown that the device is not sent now.
    pub(crate) fn grown(&mut self, conversation: ConversationId, head: Seq, now: Instant) -> Tell {
        if self.notices.len() >= NOTICES_SWEPT_AT {
            self.notices.retain(|_, notice| notice.owed || notice.next > now);
        }
        let fresh = Notice { head, next: now, owed: false };
        let notice = self.notices.entry(conversation).or_insert(fresh);
        notice.head = notice.head.max(head);
        if notice.owed {
            Tell::Waits
        } else if now >= notice.next {
            notice.next = now + NOTICE_PAUSE;
            Tell::Now
        } else {
            notice.owed = true;
            Tell::At(notice.next)
        }
    }

    /// The head that is to be told now, if any.
    pub(crate) fn owed(&mut self, conversation: ConversationId, now: Instant) -> Option<Seq> {
        let notice = self.notices.get_mut(&conversation).filter(|notice| notice.owed)?;
        (notice.owed, notice.next) = (false, now + NOTICE_PAUSE);
        Some(notice.head)
    }

    /// The device is to be told of the members of these; `true`: a task must be started for it.
    pub(crate) fn tell(&mut self, conversations: impl IntoIterator<Item = ConversationId>) -> bool {
        for id in conversations {
            if self.open.contains(&id) && !self.untold.contains(&id) {
                self.untold.push(id);
            }
        }
        !self.untold.is_empty() && !std::mem::replace(&mut self.telling, true)
    }

    /// The conversation to tell of next; `None`: the task ends.
    pub(crate) fn next_untold(&mut self) -> Option<ConversationId> {
        self.untold.retain(|id| self.open.contains(id));
        let next = self.untold.pop();
        self.telling = next.is_some();
        next
    }

    /// The connection has ended; answers what was open.
    pub(crate) fn close(&mut self) -> Vec<ConversationId> {
        self.untold = Vec::new();
        std::mem::take(&mut self.open)
    }

    /// The device may not read this conversation any more.
    pub(crate) fn cut(&mut self, conversation: ConversationId) {
        self.open.retain(|id| *id != conversation);
        self.notices.remove(&conversation);
    }

    /// The device is sent everything again.
    pub(crate) fn forget_notices(&mut self) {
        self.notices = BTreeMap::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ConversationId = ConversationId([1; 16]);
    const B: ConversationId = ConversationId([2; 16]);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn one_notice_a_second_with_the_newest_head() {
        let (mut stance, start) = (Stance::default(), Instant::now());
        assert_eq!(stance.grown(A, Seq(5), start), Tell::Now);
        assert_eq!(stance.grown(A, Seq(6), start + 200 * MS), Tell::At(start + NOTICE_PAUSE));
        assert_eq!(stance.grown(A, Seq(7), start + 300 * MS), Tell::Waits);
        assert_eq!(stance.grown(B, Seq(1), start + 300 * MS), Tell::Now);
        assert_eq!(stance.owed(A, start + 1000 * MS), Some(Seq(7)));
        assert_eq!(stance.owed(A, start + 1000 * MS), None);
        assert_eq!(stance.grown(A, Seq(8), start + 1999 * MS), Tell::At(start + 2 * NOTICE_PAUSE));
        stance.cut(A);
        assert_eq!(stance.owed(A, start + 2000 * MS), None);
        assert_eq!(stance.grown(B, Seq(2), start + 1300 * MS), Tell::Now);
    }

    #[test]
    fn what_is_opened_is_told_once_by_one_task() {
        let mut stance = Stance { open: vec![A, B], ..Stance::default() };
        assert!(stance.tell([A, A]));
        assert!(!stance.tell([A, B, ConversationId([3; 16])]));
        stance.cut(B);
        assert_eq!(stance.next_untold(), Some(A));
        // Asked for again while it is being told.
        assert!(!stance.tell([A]));
        assert_eq!(stance.next_untold(), Some(A));
        assert_eq!(stance.next_untold(), None);
        assert!(stance.tell([A]));
        assert_eq!(stance.close(), [A]);
        assert_eq!(stance.next_untold(), None);
        assert!(!stance.tell([A]));
    }

    #[test]
    fn what_was_told_long_ago_is_forgotten() {
        let (mut stance, start) = (Stance::default(), Instant::now());
        for i in 0..200u8 {
            let at = start + u32::from(i) * NOTICE_PAUSE;
            assert_eq!(stance.grown(ConversationId([i; 16]), Seq(1), at), Tell::Now);
        }
        assert!(stance.notices.len() <= NOTICES_SWEPT_AT);
    }
}
