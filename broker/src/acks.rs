//! Stage 5: PUBACKs wait for their outcomes and leave in the order of receipt.

use std::collections::VecDeque;
use std::time::Instant;

use godwit_core::edge::{Detail, Outcome};

use crate::metrics;

/// One publish that waits.
#[derive(Debug)]
struct Slot {
    packet_id: u16,
    outcome: Option<Outcome>,
    since: Instant,
}

/// The publishes of one connection that wait, in order; bounded by Receive Maximum. Allocates
/// nothing while none waits.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    slots: VecDeque<Slot>,
    /// The ticket of the first slot; tickets count up and wrap.
    first: u32,
}

impl Acks {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Takes the next place; the outcome comes by the returned ticket.
    pub(crate) fn push(&mut self, packet_id: u16) -> u32 {
        // The length is bounded by Receive Maximum, a u16.
        let offset = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push_back(Slot { packet_id, outcome: None, since: Instant::now() });
        self.first.wrapping_add(offset)
    }

    /// Whether `packet_id` waits already: the client used an id that is in flight.
    pub(crate) fn holds(&self, packet_id: u16) -> bool {
        self.slots.iter().any(|s| s.packet_id == packet_id)
    }

    /// Notes an outcome. A ticket that is not waiting is ignored.
    pub(crate) fn settle(&mut self, ticket: u32, outcome: Outcome) {
        let offset = ticket.wrapping_sub(self.first) as usize;
        if let Some(slot) = self.slots.get_mut(offset) {
            slot.outcome.get_or_insert(outcome);
        }
    }

    /// The next PUBACK that may leave.
    pub(crate) fn pop_ready(&mut self) -> Option<(u16, Outcome)> {
        let outcome = self.slots.front_mut()?.outcome.take()?;
        let slot = self.slots.pop_front()?;
        self.first = self.first.wrapping_add(1);
        if self.slots.is_empty() {
            self.slots = VecDeque::new();
        }
        if outcome.detail != Detail::Withheld {
            metrics::acknowledged(slot.since);
        }
        Some((slot.packet_id, outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_in_any_order_leave_in_order() {
        let mut acks = Acks { first: u32::MAX - 1, ..Acks::default() };
        let tickets: Vec<_> = (1..=4).map(|id| acks.push(id)).collect();
        acks.settle(tickets[2], Outcome::SUCCESS);
        acks.settle(tickets[1], Outcome::WITHHELD);
        assert_eq!(acks.pop_ready(), None);
        acks.settle(tickets[0], Outcome::SUCCESS);
        // The first answer counts.
        acks.settle(tickets[0], Outcome::WITHHELD);
        let left: Vec<_> = std::iter::from_fn(|| acks.pop_ready()).collect();
        let ids: Vec<_> = left.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [1, 2, 3]);
        assert_eq!(left[0].1, Outcome::SUCCESS);
        assert!(acks.holds(4) && !acks.holds(1));
        // Late and unknown tickets change nothing.
        acks.settle(tickets[0], Outcome::SUCCESS);
        acks.settle(77, Outcome::SUCCESS);
        assert_eq!(acks.pop_ready(), None);
        assert_eq!(acks.len(), 1);
    }
}
