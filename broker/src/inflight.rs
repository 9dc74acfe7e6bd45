//! Stages 7 and 8: the window of QoS 1 deliveries that wait for the client's PUBACK.

use std::collections::VecDeque;
use std::time::Instant;

use godwit_core::cursor::Mark;
use godwit_core::edge::Delivery;

use crate::metrics;

/// One delivery in flight.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) packet_id: u16,
    mark: Option<Mark>,
    /// For plain topics, whose messages stand in no log: what to send again to a kept session.
    plain: Option<Delivery>,
    acknowledged: bool,
    /// When it was sent, for one in eight: a clock is read twice for each.
    since: Option<Instant>,
}

/// The window. A flight holds its place until all before it are acknowledged, so marks come out in
/// order, packet ids stay unique, and a client that skips one cannot make it grow.
#[derive(Debug)]
pub(crate) struct Inflight {
    flights: VecDeque<Flight>,
    /// What an earlier connection left unacknowledged and this one has not sent again yet, with its
    /// packet ids. Nothing else is sent before it, so no new id meets one of these.
    again: VecDeque<(u16, Delivery)>,
    last_id: u16,
    window: u16,
}

impl Inflight {
    /// `again`: what an earlier connection left, in order.
    pub(crate) fn new(window: u16, again: Vec<(u16, Delivery)>) -> Self {
        Self { flights: VecDeque::new(), again: again.into(), last_id: 0, window }
    }

    /// How many new ones may be sent.
    pub(crate) fn room(&self) -> usize {
        if self.again.is_empty() { self.window_left() } else { 0 }
    }

    fn window_left(&self) -> usize {
        usize::from(self.window).saturating_sub(self.flights.len())
    }

    /// The next one that is to be sent again, if the window takes it: [`Inflight::resume`] follows.
    pub(crate) fn next_again(&mut self) -> Option<(u16, Delivery)> {
        if self.window_left() == 0 {
            return None;
        }
        let next = self.again.pop_front();
        if self.again.is_empty() {
            self.again = VecDeque::new();
        }
        next
    }

    /// Forgets what is still to be sent again and does not pass.
    pub(crate) fn retain_again(&mut self, keep: impl Fn(&Delivery) -> bool) {
        self.again.retain(|(_, delivery)| keep(delivery));
    }

    /// Takes the next packet id; `plain` is kept for sending again.
    pub(crate) fn push(&mut self, mark: Option<Mark>, plain: Option<Delivery>) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            // Ids of a resumed window may stand anywhere.
            let taken = |id| self.flights.iter().any(|f| f.packet_id == id);
            let kept = |id| self.again.iter().any(|(packet_id, _)| *packet_id == id);
            if !taken(self.last_id) && !kept(self.last_id) {
                break;
            }
        }
        let packet_id = self.last_id;
        let since = (packet_id % 8 == 1).then(Instant::now);
        self.flights.push_back(Flight { packet_id, mark, plain, acknowledged: false, since });
        packet_id
    }

    /// Puts back a flight of an earlier connection, with its own packet id.
    pub(crate) fn resume(&mut self, packet_id: u16, plain: Delivery) {
        self.flights.push_back(Flight {
            packet_id,
            mark: None,
            plain: Some(plain),
            acknowledged: false,
            since: None,
        });
    }

    /// Notes a PUBACK; pushes the marks that have become certain. `false`: no such id in flight.
    pub(crate) fn acknowledge(&mut self, packet_id: u16, marks: &mut Vec<Mark>) -> bool {
        let Some(flight) = self.flights.iter_mut().find(|f| f.packet_id == packet_id) else {
            return false;
        };
        if let Some(since) = flight.since.take() {
            metrics::confirmed(since);
        }
        let known = !std::mem::replace(&mut flight.acknowledged, true);
        while self.flights.front().is_some_and(|f| f.acknowledged) {
            marks.extend(self.flights.pop_front().and_then(|f| f.mark));
        }
        if self.flights.is_empty() {
            self.flights = VecDeque::new();
        }
        known
    }

    /// The plain deliveries that were never acknowledged, for the next connection.
    pub(crate) fn into_plain(self) -> Vec<(u16, Delivery)> {
        self.flights
            .into_iter()
            .filter(|f| !f.acknowledged)
            .filter_map(|f| f.plain.map(|d| (f.packet_id, d)))
            .chain(self.again)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_core::cursor::Feed;
    use godwit_core::ids::{ConversationId, Seq};

    fn mark(seq: u64) -> Option<Mark> {
        Some(Mark { feed: Feed::Log, conversation: ConversationId([0; 16]), seq: Seq(seq) })
    }

    #[test]
    fn marks_come_out_in_order_and_the_window_holds() {
        let mut inflight = Inflight::new(3, Vec::new());
        let ids: Vec<_> = (1..=3).map(|seq| inflight.push(mark(seq), None)).collect();
        assert_eq!((ids.as_slice(), inflight.room()), (&[1, 2, 3][..], 0));
        let mut marks = Vec::new();
        assert!(inflight.acknowledge(2, &mut marks));
        assert!(inflight.acknowledge(3, &mut marks));
        // Nothing is certain before the first, and the window stays shut.
        assert_eq!((marks.len(), inflight.room()), (0, 0));
        assert!(!inflight.acknowledge(2, &mut marks));
        assert!(!inflight.acknowledge(9, &mut marks));
        assert!(inflight.acknowledge(1, &mut marks));
        assert_eq!(marks.iter().map(|m| m.seq.0).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(inflight.room(), 3);
    }

    #[test]
    fn packet_ids_wrap_past_those_in_flight() {
        let mut inflight = Inflight::new(4, Vec::new());
        inflight.last_id = u16::MAX - 1;
        assert_eq!(inflight.push(None, None), u16::MAX);
        inflight.resume(
            1,
            Delivery {
                message: Default::default(),
                qos: godwit_core::edge::Qos::AtLeastOnce,
                retain: false,
                mark: None,
                identifier: None,
            },
        );
        assert_eq!(inflight.push(None, None), 2);
        assert_eq!(inflight.into_plain().len(), 1);
    }
}
