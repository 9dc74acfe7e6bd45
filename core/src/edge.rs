//! The border between broker and bridge.
//!
//! The broker knows connections, topics and identities; the bridge knows conversations. They meet
//! only here, so that they can run in one process (these traits called directly) or in two (an
//! adapter of the bus in between), without a line changed in either.
//!
//! Upward, a device's packets: [`Gate`] decides who may come in and do what, [`Upstream`] opens a
//! [`Session`] for each admitted device, and every mounted topic is given to that session.
//! Downward, [`Downlink`] is one connection: deliveries, the outcome of publishes, the end.
//!
//! All calls but the ones that return a future are cheap and never block.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use crate::cursor::{Mark, Subscription};
use crate::ids::Identity;

mod code;
mod gate;
mod outcome;

pub use code::Code;
pub use gate::{Action, Admitted, Credentials, Gate, Grant};
pub use outcome::{Ack, Detail, Outcome, wait_ms};

/// A future of this border.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// MQTT 3.1.1 or 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// MQTT 3.1.1.
    V3,
    /// MQTT 5.
    V5,
}

/// Quality of service. Godwit speaks 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Qos {
    /// At most once.
    AtMostOnce,
    /// At least once.
    AtLeastOnce,
}

/// The properties of a message that travel with it (MQTT 5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// Where a reply is wanted.
    pub response_topic: Option<ByteString>,
    /// What the reply shall carry.
    pub correlation_data: Option<Bytes>,
    /// What the payload is.
    pub content_type: Option<ByteString>,
    /// The payload is UTF-8.
    pub is_utf8: Option<bool>,
    /// Seconds until the message is worthless.
    pub expiry_s: Option<u32>,
    /// User properties, bounded by the broker in count and bytes.
    pub user: Vec<(ByteString, ByteString)>,
}

/// A message: topic, payload, properties. Shared by all who get it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The topic as the receiver sees it.
    pub topic: ByteString,
    /// The payload.
    pub payload: Bytes,
    /// MQTT 5's properties.
    pub properties: Option<Box<Properties>>,
}

/// A publish of a device, with its topic resolved from any alias.
#[derive(Debug, Clone)]
pub struct Publish {
    /// The message.
    pub message: Message,
    /// QoS 0 has nothing to answer.
    pub qos: Qos,
    /// The retain flag.
    pub retain: bool,
}

/// A delivery to a device.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message.
    pub message: Arc<Message>,
    /// The QoS that was granted.
    pub qos: Qos,
    /// The retain flag.
    pub retain: bool,
    /// Given back by [`Session::confirmed`]: with QoS 1 after the device's PUBACK, with QoS 0
    /// after the write. Marks of one session come back in the order of delivery.
    pub mark: Option<Mark>,
    /// MQTT 5's subscription identifier.
    pub identifier: Option<NonZeroU32>,
}

/// One connection, seen from above. Implemented by the broker.
pub trait Downlink: Send + Sync + fmt::Debug {
    /// Who is connected.
    fn identity(&self) -> &Identity;

    /// Which MQTT it speaks.
    fn version(&self) -> Version;

    /// Queues a delivery. `Err` gives it back: the queue is full (a later
    /// [`Session::writable`] tells when to go on) or the connection has ended.
    fn deliver(&self, delivery: Delivery) -> Result<(), Delivery>;

    /// How many more deliveries the queue takes now.
    fn room(&self) -> usize;

    /// Answers a publish; see [`Ack`], which calls it.
    fn settle(&self, ticket: u32, outcome: Outcome);

    /// Ends the connection with a DISCONNECT of this code, after what is queued.
    fn close(&self, code: Code);
}

/// A subscription asked for, after [`Gate::authorize`] has allowed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeRequest {
    /// Filter and options.
    pub subscription: Subscription,
    /// It reaches mounted topics: the session acts on it.
    pub mounted: bool,
}

impl SubscribeRequest {
    /// The QoS asked for, at most 1.
    #[must_use]
    pub fn qos(&self) -> Qos {
        if self.subscription.options & 0b11 == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce }
    }
}

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
