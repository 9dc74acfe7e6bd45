//! What waits for one client on plain topics: one queue in order, which outlives connections.
//!
//! Plain topics have no log to read again, so a message that was acknowledged to its publisher stands
//! here until the client's connection has taken it, whether there is one or not. Beyond the bound the
//! oldest go: a reader of states and telemetry is served better by the newest. How many went is
//! counted, and told to the client when it comes back.

use std::collections::VecDeque;

use godwit_core::edge::{Delivery, Qos};

use crate::link::Queued;

/// How much may wait for one client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// Deliveries, while it is connected.
    pub(crate) live: usize,
    /// Deliveries, while it is away. Zero: none are kept.
    pub(crate) away: usize,
    /// Bytes. One message that is larger may wait alone.
    pub(crate) bytes: usize,
}

/// The queue. No I/O.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    queue: VecDeque<Queued>,
    bytes: usize,
    /// QoS 1 deliveries that went for want of room and that the client was not told of.
    pub(crate) dropped: u64,
}

impl Plain {
    /// Appends; the oldest go while there is no room. Returns how many of QoS 1 went. `Err`: there
    /// is no room for one that may be lost (QoS 0), so nothing goes for it.
    pub(crate) fn push(
        &mut self,
        delivery: Delivery,
        count: usize,
        bytes: usize,
    ) -> Result<u64, ()> {
        let queued = Queued::new(delivery, true);
        if queued.delivery.qos == Qos::AtMostOnce && !self.has_room(queued.bytes(), count, bytes) {
            return Err(());
        }
        let dropped = self.make_room(queued.bytes(), count.saturating_sub(1), bytes);
        self.bytes += queued.bytes();
        self.queue.push_back(queued);
        Ok(dropped)
    }

    /// Whether one more of these bytes fits without any that goes for it.
    pub(crate) fn has_room(&self, more: usize, count: usize, bytes: usize) -> bool {
        self.queue.len() < count && (self.queue.is_empty() || self.bytes + more <= bytes)
    }

    /// Lets the oldest go until at most `count` are left that leave `more` bytes of `bytes`.
    fn make_room(&mut self, more: usize, count: usize, bytes: usize) -> u64 {
        let mut dropped = 0;
        while self.queue.len() > count || (self.bytes + more > bytes && !self.queue.is_empty()) {
            let Some(oldest) = self.queue.pop_front() else { break };
            self.bytes -= oldest.bytes();
            dropped += u64::from(oldest.delivery.qos == Qos::AtLeastOnce);
        }
        self.dropped += dropped;
        dropped
    }

    /// The client has left: what may be lost goes, and of the rest what is beyond the bound of one
    /// that is away. Returns how many of QoS 1 went.
    pub(crate) fn leave(&mut self, bound: Bound) -> u64 {
        self.retain(|delivery| delivery.qos == Qos::AtLeastOnce);
        self.make_room(0, bound.away, bound.bytes)
    }

    /// Keeps what `keep` says; the others are no loss that is told.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Delivery) -> bool) {
        self.queue.retain(|queued| keep(&queued.delivery));
        self.bytes = self.queue.iter().map(Queued::bytes).sum();
    }

    /// Gives out the oldest for as long as `want` wants the next one.
    pub(crate) fn drain(&mut self, mut want: impl FnMut(&Queued) -> bool, out: &mut Vec<Queued>) {
        while self.queue.front().is_some_and(&mut want) {
            if let Some(queued) = self.queue.pop_front() {
                self.bytes -= queued.bytes();
                out.push(queued);
            }
        }
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    /// Bytes that wait.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The oldest go until so many bytes have gone, or none is left. Returns how many of QoS 1 went.
    pub(crate) fn give_way(&mut self, bytes: usize) -> u64 {
        self.make_room(0, usize::MAX, self.bytes.saturating_sub(bytes))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Nothing waits and nothing is to be told.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.dropped == 0
    }
}

#[cfg(test)]
mod tests;
