//! One device's session above the broker, and how it is opened.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{Ack, Code, Downlink, Outcome, Publish, SubscribeRequest};
use crate::cursor::{Mark, Subscription};
use crate::ids::Identity;

/// A future of this border.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Forget what was kept.
    pub clean: bool,
    /// Keep the session for so many seconds after the connection's end; 0: keep nothing.
    pub expiry_s: u32,
}

/// A session that has begun.
pub struct Begun {
    /// Takes the device's packets from here on.
    pub session: Arc<dyn Session>,
    /// The device had a kept session.
    pub present: bool,
    /// The kept subscriptions; mounted ones are already in force.
    pub subscriptions: Vec<Subscription>,
}

/// Opens sessions for admitted devices. Implemented by the bridge.
pub trait Upstream: Send + Sync + 'static {
    /// Begins the session of a device. The broker has ended the device's earlier connection and
    /// called its [`Session::closed`] before, but has not awaited it: what that still has to store
    /// comes before what this one stores. Answers within seconds, also while the store is away.
    /// Deliveries may be queued at once; they are written after the CONNACK. `Err`: the CONNACK's
    /// code. The broker polls it to its end, in a task of its own.
    fn open(&self, link: Arc<dyn Downlink>, begin: Begin) -> Task<'_, Result<Begun, Outcome>>;

    /// Whether `who` may publish to this mounted topic now: asked of a will at CONNECT, so that one
    /// that could never be delivered is refused. `Err`: the CONNACK's code.
    fn may_publish<'a>(
        &'a self,
        who: &'a Identity,
        topic: &'a str,
    ) -> Task<'a, Result<(), Outcome>> {
        let _ = (who, topic);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// One device's session above the broker. Calls come from one connection at a time, in order.
pub trait Session: Send + Sync {
    /// A publish to a mounted topic. `ack` is answered when it is committed, or refused.
    fn publish(&self, publish: Publish, ack: Ack);

    /// New subscriptions; answers a code each, the granted QoS (0, 1) or an error. Kept sessions
    /// store them before the answer, and one that could not be stored is not in force. The broker
    /// has one change of a connection under way at a time, and polls it to its end in a task of its
    /// own, also when the connection ends meanwhile.
    fn subscribe(&self, requests: Vec<SubscribeRequest>) -> Task<'_, Vec<Code>>;

    /// Ended subscriptions; answers a code each. What could not be stored stays in force.
    fn unsubscribe(&self, filters: Vec<String>) -> Task<'_, Vec<Code>>;

    /// Deliveries that have arrived, in order.
    fn confirmed(&self, marks: &[Mark]);

    /// The queue has room again after a delivery was given back.
    fn writable(&self);

    /// The connection has ended; the session is kept for `expiry_s` seconds (0: it is over). It is
    /// so when the call returns: whatever opens the device's next session comes after it. The future
    /// completes when this and everything confirmed so far is stored; it may be dropped.
    fn closed(&self, expiry_s: u32) -> Task<'static, ()>;
}
