//! What crosses the border: messages, deliveries, subscriptions.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use crate::cursor::{Mark, Subscription};

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
    /// Given back by [`super::Session::confirmed`]: with QoS 1 after the device's PUBACK, with QoS 0
    /// after the write. Marks of one session come back in the order of delivery.
    pub mark: Option<Mark>,
    /// MQTT 5's subscription identifier.
    pub identifier: Option<NonZeroU32>,
}

/// A subscription asked for, after [`super::Gate::authorize`] has allowed it.
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
