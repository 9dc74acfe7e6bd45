//! Messages on their lanes. A lane is one sender and its receivers; a pair is a lane with one.
//!
//! Closed loop: a sender has at most `window` messages that are not both acknowledged and
//! delivered everywhere. Open loop: message k of the run is due at `k / rate`, whatever happened
//! to the ones before, and latency counts from then: a server that stalls is charged for every
//! message that had to wait (no coordinated omission).

use std::collections::VecDeque;

use miette::IntoDiagnostic as _;

use crate::engine::{Engine, Traffic};
use crate::report;
use crate::stamp::Stamp;

use super::tally::Tally;

/// A stretch of the run, measured apart.
pub(crate) struct Window {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
    pub(crate) acked: u64,
    pub(crate) received: u64,
    pub(crate) ack: hdrhistogram::Histogram<u64>,
    pub(crate) delivery: hdrhistogram::Histogram<u64>,
}

impl Window {
    /// From one moment to another. Errors: as [`report::histogram`].
    pub(crate) fn new(from_ns: u64, to_ns: u64) -> miette::Result<Self> {
        let (ack, delivery) = (report::histogram()?, report::histogram()?);
        Ok(Self { from_ns, to_ns, acked: 0, received: 0, ack, delivery })
    }

    /// Adds another window's findings and its length. Errors: the histograms differ, which none of
    /// ours do.
    pub(crate) fn take(&mut self, other: &Self) -> miette::Result<()> {
        self.to_ns += other.to_ns - other.from_ns;
        self.acked += other.acked;
        self.received += other.received;
        self.ack.add(&other.ack).into_diagnostic()?;
        self.delivery.add(&other.delivery).into_diagnostic()
    }

    fn holds(&self, at_ns: u64) -> bool {
        (self.from_ns..self.to_ns).contains(&at_ns)
    }
}

/// How sends are paced.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As fast as the window allows.
    Closed,
    /// So many messages a second over all lanes.
    Open(u32),
}

struct Lane {
    sender: usize,
    tallies: Vec<Tally>,
    sent: u32,
    /// Open loop: messages whose time has come.
    due: u32,
    refused: u32,
    /// Distinct deliveries over all receivers.
    delivered: u64,
    /// Unanswered publishes: id and when they were due.
    inflight: VecDeque<(u32, u64)>,
    /// XMPP: publishes answered so far.
    acked_up_to: u32,
    /// It stands in the list of lanes that may have something to send.
    queued: bool,
}

#[derive(Debug, Clone, Copy)]
enum Role {
    Sender(usize),
    Receiver(usize, usize),
}

/// All lanes of a run.
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    /// The number that the first one has in stamps.
    first: u32,
    /// By connection index.
    roles: Vec<Role>,
    size: usize,
    window: u32,
    pace: Pace,
    start_ns: u64,
    stop_ns: u64,
    next_due: u64,
    queue: Vec<usize>,
    pub(crate) windows: Vec<Window>,
    counts: report::Counts,
    /// What came with QoS 0.
    passed: u64,
}

impl Lanes {
    /// `lanes` lanes of one sender and `receivers` receivers each. Connections are indexed as
    /// they were added: all receivers, lane by lane, then all senders.
    pub(crate) fn new(
        lanes: usize,
        receivers: usize,
        size: usize,
        window: u32,
        pace: Pace,
    ) -> Self {
        let mut roles = Vec::with_capacity(lanes * (receivers + 1));
        for lane in 0..lanes {
            roles.extend((0..receivers).map(|nth| Role::Receiver(lane, nth)));
        }
        roles.extend((0..lanes).map(Role::Sender));
        let lanes = (0..lanes)
            .map(|lane| Lane {
                sender: lanes * receivers + lane,
                tallies: (0..receivers).map(|_| Tally::default()).collect(),
                sent: 0,
                due: 0,
                refused: 0,
                delivered: 0,
                inflight: VecDeque::with_capacity(usize::try_from(window).unwrap_or(0)),
                acked_up_to: 0,
                queued: false,
            })
            .collect();
        Self {
            lanes,
            first: 0,
            roles,
            size,
            window,
            pace,
            start_ns: u64::MAX,
            stop_ns: u64::MAX,
            next_due: 0,
            queue: Vec::new(),
            windows: Vec::new(),
            counts: report::Counts::default(),
            passed: 0,
        }
    }

    /// The same, numbered from `first` on: set apart from the lanes of another engine.
    pub(crate) fn numbered(mut self, first: usize) -> Self {
        self.first = u32::try_from(first).unwrap_or(u32::MAX);
        self
    }

    /// Begins to send now; the server's own limits narrow the window.
    pub(crate) fn start(&mut self, engine: &Engine) {
        self.start_ns = engine.clock().now_ns();
        for lane in &self.lanes {
            self.window = self.window.min(engine.window(lane.sender));
        }
        if matches!(self.pace, Pace::Closed) {
            for lane in 0..self.lanes.len() {
                self.enqueue(lane);
            }
        }
    }

    /// Nothing is due from this moment on.
    pub(crate) fn stop(&mut self, at_ns: u64) {
        self.stop_ns = at_ns;
    }

    /// Open loop: goes on at `at_ns`, until `until_ns`, with the message that would have come next.
    pub(crate) fn resume(&mut self, at_ns: u64, until_ns: u64) {
        if let Pace::Open(rate) = self.pace {
            self.start_ns = 0;
            self.start_ns = at_ns.saturating_sub(self.due_ns(rate, self.next_due));
        }
        self.stop_ns = until_ns;
    }

    /// When the next message is due; None: only an event can make one due.
    pub(crate) fn next_due_ns(&self) -> Option<u64> {
        match self.pace {
            Pace::Open(rate) if !self.lanes.is_empty() && self.start_ns < u64::MAX => {
                let due = self.due_ns(rate, self.next_due);
                (due < self.stop_ns).then_some(due)
            }
            _ => None,
        }
    }

    fn due_ns(&self, rate: u32, nth: u64) -> u64 {
        let after = u128::from(nth) * 1_000_000_000 / u128::from(rate);
        self.start_ns.saturating_add(u64::try_from(after).unwrap_or(u64::MAX))
    }

    /// Sends all that is due and allowed.
    pub(crate) fn pump(&mut self, engine: &mut Engine) {
        let now = engine.clock().now_ns();
        while let Some(due) = self.next_due_ns()
            && due <= now
        {
            let lane = self.lane_of(self.next_due);
            self.lanes[lane].due += 1;
            self.next_due += 1;
            self.enqueue(lane);
        }
        while let Some(lane) = self.queue.pop() {
            self.lanes[lane].queued = false;
            self.send(lane, now, engine);
        }
    }

    fn lane_of(&self, nth: u64) -> usize {
        let lanes = u64::try_from(self.lanes.len()).unwrap_or(1);
        usize::try_from(nth % lanes).unwrap_or(0)
    }

    fn enqueue(&mut self, lane: usize) {
        if !std::mem::replace(&mut self.lanes[lane].queued, true) {
            self.queue.push(lane);
        }
    }

    fn send(&mut self, index: usize, now: u64, engine: &mut Engine) {
        let lanes = u64::try_from(self.lanes.len()).unwrap_or(1);
        loop {
            let lane = &self.lanes[index];
            let unacked = u32::try_from(lane.inflight.len()).unwrap_or(u32::MAX);
            let receivers = u64::try_from(lane.tallies.len()).unwrap_or(1);
            let due_ns = match self.pace {
                Pace::Open(rate) if lane.sent < lane.due && unacked < self.window => {
                    let nth = u64::from(lane.sent) * lanes + u64::try_from(index).unwrap_or(0);
                    self.due_ns(rate, nth)
                }
                Pace::Closed
                    if now < self.stop_ns
                        && unacked < self.window
                        && u64::from(lane.sent - lane.refused) * receivers - lane.delivered
                            < u64::from(self.window) * receivers =>
                {
                    now
                }
                _ => return,
            };
            let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(self.first);
            let stamp = Stamp { lane: number, seq: lane.sent, due_ns };
            let Some(id) = engine.publish(lane.sender, stamp, self.size) else { return };
            let lane = &mut self.lanes[index];
            lane.sent += 1;
            lane.inflight.push_back((id, due_ns));
            self.counts.sent += 1;
        }
    }

    /// A publish was answered.
    pub(crate) fn acked(&mut self, connection: usize, id: u32, code: u8, at_ns: u64) {
        let Some(&Role::Sender(index)) = self.roles.get(connection) else { return };
        let lane = &mut self.lanes[index];
        // Answers come in the order of the sends [MQTT-4.6.0-2]; any other is counted.
        let Some(position) = lane.inflight.iter().position(|&(sent, _)| sent == id) else {
            self.counts.acks_unasked += 1;
            return;
        };
        if position > 0 {
            self.counts.acks_out_of_order += 1;
        }
        let Some((_, due_ns)) = lane.inflight.remove(position) else { return };
        if code >= 0x80 {
            lane.refused += 1;
            self.counts.refused += 1;
            self.counts.first_refusal.get_or_insert_with(|| format!("PUBACK 0x{code:02x}"));
        } else {
            self.record_ack(due_ns, at_ns);
        }
        self.enqueue(index);
    }

    /// All publishes up to `count` were answered (XMPP).
    pub(crate) fn acked_up_to(&mut self, connection: usize, count: u32, at_ns: u64) {
        let Some(&Role::Sender(index)) = self.roles.get(connection) else { return };
        while self.lanes[index].acked_up_to != count {
            let lane = &mut self.lanes[index];
            let Some((_, due_ns)) = lane.inflight.pop_front() else { break };
            lane.acked_up_to = lane.acked_up_to.wrapping_add(1);
            self.record_ack(due_ns, at_ns);
        }
        self.enqueue(index);
    }

    fn record_ack(&mut self, due_ns: u64, at_ns: u64) {
        self.counts.acked += 1;
        for window in &mut self.windows {
            window.acked += u64::from(window.holds(at_ns));
            if window.holds(due_ns) {
                window.ack.saturating_record(at_ns.saturating_sub(due_ns));
            }
        }
    }

    /// A body arrived.
    pub(crate) fn delivered(&mut self, connection: usize, stamp: Stamp, at_ns: u64) {
        let Some(&Role::Receiver(index, nth)) = self.roles.get(connection) else { return };
        let number = stamp.lane.checked_sub(self.first);
        if number.and_then(|number| usize::try_from(number).ok()) != Some(index) {
            self.counts.astray += 1;
            return;
        }
        let lane = &mut self.lanes[index];
        if !lane.tallies[nth].take(stamp.seq) {
            return;
        }
        lane.delivered += 1;
        for window in &mut self.windows {
            window.received += u64::from(window.holds(at_ns));
            if window.holds(stamp.due_ns) {
                window.delivery.saturating_record(at_ns.saturating_sub(stamp.due_ns));
            }
        }
        if matches!(self.pace, Pace::Closed) {
            self.enqueue(index);
        }
    }

    /// Something came with QoS 0.
    pub(crate) fn passed(&mut self) {
        self.passed += 1;
    }

    /// How much came with QoS 0.
    pub(crate) fn passed_in_all(&self) -> u64 {
        self.passed
    }

    /// A connection of ours ended; false: it is none of ours.
    pub(crate) fn gone(&mut self, connection: usize, reason: &str) -> bool {
        if connection >= self.roles.len() {
            return false;
        }
        self.counts.disconnects += 1;
        self.counts.first_disconnect.get_or_insert_with(|| reason.to_owned());
        true
    }

    /// Every message that was due is sent, answered, and delivered to everyone.
    pub(crate) fn is_settled(&self) -> bool {
        self.lanes.iter().all(|lane| {
            let receivers = u64::try_from(lane.tallies.len()).unwrap_or(0);
            lane.sent >= lane.due
                && lane.inflight.is_empty()
                && lane.delivered == u64::from(lane.sent - lane.refused) * receivers
        })
    }

    /// Messages sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.counts.sent
    }

    /// What happened in all.
    pub(crate) fn counts(&self) -> report::Counts {
        let mut counts = self.counts.clone();
        for lane in &self.lanes {
            counts.unanswered += u64::try_from(lane.inflight.len()).unwrap_or(0);
            counts.unsent += u64::from(lane.due.saturating_sub(lane.sent));
            for tally in &lane.tallies {
                counts.received += tally.unique;
                counts.duplicates += tally.duplicates;
                counts.out_of_order += tally.out_of_order;
                counts.gaps += tally.gaps(lane.sent);
            }
        }
        counts
    }

    /// Bytes of all senders and of all receivers so far.
    pub(crate) fn traffic(&self, engine: &Engine) -> (Traffic, Traffic) {
        let (mut senders, mut receivers) = (Traffic::default(), Traffic::default());
        for (connection, role) in self.roles.iter().enumerate() {
            let sum = match role {
                Role::Sender(_) => &mut senders,
                Role::Receiver(..) => &mut receivers,
            };
            let traffic = engine.traffic(connection);
            sum.bytes_in += traffic.bytes_in;
            sum.bytes_out += traffic.bytes_out;
        }
        (senders, receivers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(lane: u32, seq: u32, due_ns: u64) -> Stamp {
        Stamp { lane, seq, due_ns }
    }

    /// Two lanes of one receiver each: connections 0 and 1 receive, 2 and 3 send.
    fn pair() -> Lanes {
        let mut lanes = Lanes::new(2, 1, 100, 4, Pace::Closed);
        lanes.windows.push(Window::new(100, 200).unwrap());
        for lane in &mut lanes.lanes {
            lane.sent = 2;
            lane.inflight.extend([(1, 90), (2, 150)]);
        }
        lanes.counts.sent = 4;
        lanes
    }

    #[test]
    fn latency_counts_by_due_time_and_throughput_by_arrival() {
        let mut lanes = pair();
        lanes.acked(2, 1, 0, 150);
        lanes.acked(2, 2, 0, 5_000);
        lanes.delivered(0, stamp(0, 0, 90), 150);
        lanes.delivered(0, stamp(0, 1, 150), 5_000);
        let window = &lanes.windows[0];
        assert_eq!((window.acked, window.received), (1, 1));
        assert_eq!((window.ack.len(), window.delivery.len()), (1, 1));
        assert!(window.delivery.max() >= 4_850, "{}", window.delivery.max());
        assert!(!lanes.is_settled(), "the other lane waits");
    }

    #[test]
    fn strange_answers_and_strays_are_counted() {
        let mut lanes = pair();
        lanes.acked(3, 2, 0, 160);
        lanes.acked(3, 9, 0, 160);
        lanes.acked(3, 1, 0x97, 160);
        lanes.delivered(1, stamp(0, 0, 150), 160);
        lanes.delivered(1, stamp(1, 1, 150), 160);
        assert!(lanes.gone(0, "reset"));
        assert!(!lanes.gone(4, "not ours"));
        let counts = lanes.counts();
        assert_eq!((counts.acks_out_of_order, counts.acks_unasked), (1, 1));
        assert_eq!((counts.refused, counts.astray, counts.disconnects), (1, 1, 1));
        assert_eq!(counts.first_refusal.as_deref(), Some("PUBACK 0x97"));
        assert_eq!((counts.gaps, counts.received), (3, 1));
        assert_eq!(counts.unanswered, 2);
    }

    #[test]
    fn cumulative_answers_settle_all_before_them() {
        let mut lanes = pair();
        lanes.acked_up_to(2, 2, 160);
        lanes.acked_up_to(2, 7, 160);
        assert_eq!(lanes.counts().acked, 2);
        assert_eq!(lanes.lanes[0].inflight.len(), 0);
    }

    #[test]
    fn lanes_that_went_on_lose_no_message_and_know_their_own() {
        let mut lanes = Lanes::new(1, 1, 100, 4, Pace::Open(2)).numbered(7);
        lanes.start_ns = 0;
        lanes.next_due = 3;
        lanes.stop(1_400_000_000);
        assert_eq!(lanes.next_due_ns(), None);
        lanes.resume(9_000_000_000, 9_600_000_000);
        assert_eq!(lanes.next_due_ns(), Some(9_000_000_000));
        lanes.next_due = 4;
        assert_eq!(lanes.next_due_ns(), Some(9_500_000_000));
        lanes.next_due = 5;
        assert_eq!(lanes.next_due_ns(), None);
        lanes.delivered(0, stamp(7, 0, 1), 2);
        lanes.delivered(0, stamp(0, 0, 1), 2);
        let counts = lanes.counts();
        assert_eq!((counts.received, counts.astray), (1, 1));
    }

    #[test]
    fn open_loop_due_times_do_not_depend_on_what_happened() {
        let mut lanes = Lanes::new(3, 1, 100, 4, Pace::Open(1_000));
        assert_eq!(lanes.next_due_ns(), None, "not started");
        lanes.start_ns = 5;
        lanes.next_due = 7;
        assert_eq!(lanes.next_due_ns(), Some(7_000_005));
        assert_eq!(lanes.lane_of(7), 1);
        lanes.stop(7_000_005);
        assert_eq!(lanes.next_due_ns(), None);
    }
}
