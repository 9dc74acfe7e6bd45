//! One connection, seen from above, and the right to answer what came over it.

use std::fmt;
use std::sync::Arc;

use super::{Code, Delivery, Outcome, Version};
use crate::ids::Identity;

/// One connection, seen from above. Implemented by the broker.
pub trait Downlink: Send + Sync + fmt::Debug {
    /// Who is connected.
    fn identity(&self) -> &Identity;

    /// Which MQTT it speaks.
    fn version(&self) -> Version;

    /// Queues a delivery. `Err` gives it back: the queue is full (a later
    /// [`super::Session::writable`] tells when to go on) or the connection has ended.
    fn deliver(&self, delivery: Delivery) -> Result<(), Delivery>;

    /// How many more deliveries the queue takes now.
    fn room(&self) -> usize;

    /// Answers a publish; see [`Ack`], which calls it.
    fn settle(&self, ticket: u32, outcome: Outcome);

    /// Ends the connection with a DISCONNECT of this code, after what is queued.
    fn close(&self, code: Code);
}

/// The right to answer one QoS 1 publish. Dropped unanswered, it answers [`Outcome::WITHHELD`].
#[derive(Debug)]
pub struct Ack(Option<(Arc<dyn Downlink>, u32)>);

impl Ack {
    /// For a QoS 0 publish: the answer goes nowhere.
    pub const NONE: Self = Self(None);

    /// The answer to `ticket` goes to `link`. Made by the broker, and for sends without a connection.
    #[must_use]
    pub fn new(link: Arc<dyn Downlink>, ticket: u32) -> Self {
        Self(Some((link, ticket)))
    }

    /// Whether somebody waits for the answer: not for that of a QoS 0 publish.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.0.is_some()
    }

    /// Answers. Outcomes may come in any order; the broker sends PUBACKs in the order of receipt.
    pub fn settle(mut self, outcome: Outcome) {
        if let Some((link, ticket)) = self.0.take() {
            link.settle(ticket, outcome);
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if let Some((link, ticket)) = self.0.take() {
            link.settle(ticket, Outcome::WITHHELD);
        }
    }
}
