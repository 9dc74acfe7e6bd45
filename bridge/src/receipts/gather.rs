//! What devices report, until it is stored. No I/O.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use godwit_core::commit::ReadTo;
use godwit_core::cursor::Mark;
use godwit_core::edge::Ack;
use godwit_core::ids::{ConversationId, Identity, Seq, UserId};
use godwit_core::receipt::{Cursors, Moved, Place, Report, Verdict};
use godwit_core::store::Error;
use tokio::sync::oneshot;

use crate::session::DeviceSession;
use crate::{limits, metrics};

/// Who waits for what became of a report.
pub(super) enum Who {
    /// A device: its PUBACK.
    Device { session: Arc<DeviceSession>, ack: Ack },
    /// The control plane.
    Caller(oneshot::Sender<Result<Verdict, Error>>),
    /// Nobody: it was an acknowledgement.
    Nobody,
}

/// A report and who waits for it.
pub(super) struct Asked {
    pub(super) report: Report,
    pub(super) who: Who,
    pub(super) since: Instant,
}

/// What a user has read by sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) from: Identity,
    pub(super) moved: Moved,
}

/// Everything that waits for the store.
#[derive(Default)]
pub(super) struct Gathered {
    /// Acknowledged deliveries, by user so that a report is made without a search.
    delivered: HashMap<UserId, HashMap<ConversationId, Seq>>,
    /// What was read by sending, and is only to be told.
    sent: HashMap<(UserId, ConversationId), Sent>,
    /// How many places stand in `delivered` and `sent`.
    acknowledged: usize,
    asked: VecDeque<Asked>,
    /// How many places stand in `asked`.
    places: usize,
}

impl Gathered {
    pub(super) fn is_empty(&self) -> bool {
        self.delivered.is_empty() && self.asked.is_empty() && self.sent.is_empty()
    }

    /// Notes acknowledged deliveries; the highest counts. Once too many wait, new conversations are
    /// left out: the next acknowledgement there says the same and more.
    pub(super) fn deliver(&mut self, user: &UserId, marks: &[Mark]) {
        if !self.delivered.contains_key(user) {
            self.delivered.insert(user.clone(), HashMap::new());
        }
        let Some(places) = self.delivered.get_mut(user) else { return };
        for mark in marks {
            if let Some(seq) = places.get_mut(&mark.conversation) {
                *seq = (*seq).max(mark.seq);
            } else if self.acknowledged < limits::RECEIPTS_ACKNOWLEDGED_MAX {
                places.insert(mark.conversation, mark.seq);
                self.acknowledged += 1;
            } else {
                ::metrics::counter!(metrics::RECEIPTS_DROPPED, "why" => "store").increment(1);
            }
        }
    }

    /// Notes what was read by sending; the first place from which and the last to which count. Once too
    /// many wait, it is left out: who opens the conversation asks for its receipts.
    pub(super) fn sent(&mut self, read: Vec<(ReadTo, Cursors)>) {
        for (ReadTo { conversation, from, seq, .. }, before) in read {
            let now = Cursors { delivered: before.delivered.max(seq), read: seq };
            let key = (from.user.clone(), conversation);
            if let Some(sent) = self.sent.get_mut(&key) {
                (sent.from, sent.moved.now) = (from, now);
            } else if self.acknowledged < limits::RECEIPTS_ACKNOWLEDGED_MAX {
                self.sent.insert(key, Sent { from, moved: Moved { conversation, before, now } });
                self.acknowledged += 1;
            } else {
                ::metrics::counter!(metrics::RECEIPTS_DROPPED, "why" => "store").increment(1);
            }
        }
    }

    /// Takes what was read by sending; before [`Gathered::take`].
    pub(super) fn take_sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent).into_values().collect()
    }

    /// Queues a report; `Err` gives it back: too many wait.
    pub(super) fn ask(&mut self, asked: Asked) -> Result<(), Asked> {
        let places = asked.report.places.len();
        if self.places + places > limits::RECEIPTS_WAITING_MAX {
            return Err(asked);
        }
        self.places += places;
        self.asked.push_back(asked);
        Ok(())
    }

    /// Takes everything, in calls of at most `places_max` places each (or one report): first those
    /// that someone waits for.
    pub(super) fn take(&mut self, places_max: usize) -> Vec<Vec<Asked>> {
        let Self { delivered, asked, .. } = std::mem::take(self);
        let since = Instant::now();
        let acknowledged = delivered.into_iter().flat_map(|(user, places)| {
            let place =
                |(conversation, delivered)| Place { conversation, delivered, read: Seq::ZERO };
            let places: Vec<Place> = places.into_iter().map(place).collect();
            let chunks: Vec<Vec<Place>> = places.chunks(places_max).map(<[_]>::to_vec).collect();
            chunks.into_iter().map(move |places| {
                let report = Report { user: user.clone(), places, lenient: true };
                Asked { report, who: Who::Nobody, since }
            })
        });
        let (mut calls, mut call, mut count) = (Vec::new(), Vec::new(), 0);
        for asked in asked.into_iter().chain(acknowledged) {
            let places = asked.report.places.len();
            if count + places > places_max && !call.is_empty() {
                calls.push(std::mem::take(&mut call));
                count = 0;
            }
            count += places;
            call.push(asked);
        }
        if !call.is_empty() {
            calls.push(call);
        }
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_core::cursor::Feed;

    fn mark(conversation: u8, seq: u64) -> Mark {
        Mark { feed: Feed::Log, conversation: ConversationId([conversation; 16]), seq: Seq(seq) }
    }

    fn asked(places: usize) -> Asked {
        let user = UserId::new("bob").unwrap();
        let place =
            Place { conversation: ConversationId([1; 16]), delivered: Seq::ZERO, read: Seq(1) };
        let report = Report { user, places: vec![place; places], lenient: false };
        Asked { report, who: Who::Nobody, since: Instant::now() }
    }

    #[test]
    fn what_was_read_by_sending_is_one_place() {
        let conversation = ConversationId([1; 16]);
        let from: Identity = "bob:d".parse().unwrap();
        let to =
            |seq| ReadTo { conversation, from: from.clone(), seq: Seq(seq), own: 1, number: seq };
        let at = |delivered, read| Cursors { delivered: Seq(delivered), read: Seq(read) };
        let mut gathered = Gathered::default();
        gathered.sent(vec![(to(4), at(2, 1))]);
        gathered.sent(vec![(to(7), at(4, 4))]);
        assert!(!gathered.is_empty());
        let moved = Moved { conversation, before: at(2, 1), now: at(7, 7) };
        assert_eq!(gathered.take_sent(), [Sent { from, moved }]);
        assert!(gathered.take(9).is_empty() && gathered.is_empty());
    }

    #[test]
    fn a_thousand_acknowledgements_are_one_place() {
        let (alice, bob) = (UserId::new("alice").unwrap(), UserId::new("bob").unwrap());
        let mut gathered = Gathered::default();
        assert!(gathered.is_empty());
        for seq in 1..=1000 {
            gathered.deliver(&bob, &[mark(1, seq)]);
        }
        gathered.deliver(&bob, &[mark(1, 7), mark(2, 5)]);
        gathered.deliver(&alice, &[mark(1, 3)]);
        let calls = gathered.take(100);
        assert!(gathered.is_empty() && gathered.take(100).is_empty());
        assert_eq!(calls.len(), 1);
        let mut seen: Vec<_> = calls[0]
            .iter()
            .flat_map(|a| a.report.places.iter().map(|p| (a.report.user.clone(), p.delivered)))
            .collect();
        seen.sort();
        assert_eq!(seen, [(alice, Seq(3)), (bob.clone(), Seq(5)), (bob, Seq(1000))]);
        assert!(calls[0].iter().all(|a| a.report.lenient && a.report.places[0].read == Seq::ZERO));
    }

    #[test]
    fn calls_are_bounded_and_nobody_overtakes_who_waits() {
        let mut gathered = Gathered::default();
        for conversation in 0..5 {
            gathered.deliver(&UserId::new("bob").unwrap(), &[mark(conversation, 1)]);
        }
        for places in [2, 2, 9] {
            assert!(gathered.ask(asked(places)).is_ok());
        }
        let calls: Vec<Vec<(usize, bool)>> = gathered
            .take(4)
            .into_iter()
            .map(|c| c.iter().map(|a| (a.report.places.len(), a.report.lenient)).collect())
            .collect();
        assert_eq!(
            calls,
            [vec![(2, false), (2, false)], vec![(9, false)], vec![(4, true)], vec![(1, true)]]
        );
    }

    #[test]
    fn acknowledgements_beyond_the_bound_are_left_out() {
        let mut gathered = Gathered::default();
        let max = limits::RECEIPTS_ACKNOWLEDGED_MAX;
        let place = |n: usize| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(n as u64).to_be_bytes());
            Mark { conversation: ConversationId(id), ..mark(0, 1) }
        };
        let marks: Vec<_> = (0..max + 10).map(place).collect();
        gathered.deliver(&UserId::new("bob").unwrap(), &marks);
        let places = |calls: Vec<Vec<Asked>>| -> usize {
            calls.iter().flatten().map(|asked| asked.report.places.len()).sum()
        };
        assert_eq!(places(gathered.take(1000)), max);
        gathered.deliver(&UserId::new("bob").unwrap(), &marks[max..]);
        assert_eq!(places(gathered.take(1000)), 10, "there is room again");
    }

    #[test]
    fn a_full_queue_gives_the_report_back() {
        let mut gathered = Gathered::default();
        assert!(gathered.ask(asked(limits::RECEIPTS_WAITING_MAX)).is_ok());
        assert!(gathered.ask(asked(1)).is_err());
        gathered.take(1000);
        assert!(gathered.ask(asked(1)).is_ok());
    }
}
