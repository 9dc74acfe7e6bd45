//! Many sockets of the attacker's at once, which come again when they are closed.

use std::collections::VecDeque;

use super::raid::{Means, Raider};

/// So many sockets to one address.
pub(super) struct Crowd {
    address: String,
    count: usize,
    /// The oldest first.
    sockets: VecDeque<Raider>,
}

impl Crowd {
    pub(super) fn at(address: &str, count: usize) -> Self {
        Self { address: address.to_owned(), count, sockets: VecDeque::with_capacity(count) }
    }

    /// Opens those that are missing; each says this first. The last ones of a server that takes no more
    /// stay missing until the next time.
    pub(super) async fn fill(&mut self, means: &Means, first: &[u8]) {
        while self.sockets.len() < self.count && means.goes_on() {
            let Some(mut raider) = Raider::open(&self.address).await else { return };
            raider.write(first).await;
            self.sockets.push_back(raider);
            means.blow();
        }
    }

    /// Keeps those to whom `each` does not find the server's end closed.
    pub(super) fn keep(&mut self, each: impl FnMut(&mut Raider) -> bool) {
        let mut each = each;
        self.sockets.retain_mut(|raider| each(raider));
    }

    /// Closes so many, the oldest.
    pub(super) fn leave(&mut self, count: usize) {
        self.sockets.drain(..count.min(self.sockets.len()));
    }
}
