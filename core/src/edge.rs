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

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use crate::cursor::{Mark, Subscription};
use crate::ids::{Identity, MessageId, Seq};

/// A future of this border.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An MQTT 5 reason code. For 3.1.1 the broker translates it, or closes the connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub u8);

impl Code {
    /// Done.
    pub const SUCCESS: Self = Self(0x00);
    /// Done, but nobody subscribes to it.
    pub const NO_SUBSCRIBERS: Self = Self(0x10);
    /// No better code.
    pub const UNSPECIFIED: Self = Self(0x80);
    /// Bytes that are no MQTT.
    pub const MALFORMED_PACKET: Self = Self(0x81);
    /// MQTT, but against its rules.
    pub const PROTOCOL_ERROR: Self = Self(0x82);
    /// CONTRACT.md: the group version is another (implementation specific error).
    pub const STALE_GROUP: Self = Self(0x83);
    /// MQTT of a version that is not spoken here.
    pub const UNSUPPORTED_VERSION: Self = Self(0x84);
    /// A client id that cannot be one.
    pub const CLIENT_ID_INVALID: Self = Self(0x85);
    /// A token that is none.
    pub const BAD_CREDENTIALS: Self = Self(0x86);
    /// Not allowed.
    pub const NOT_AUTHORIZED: Self = Self(0x87);
    /// Not now; another server may.
    pub const SERVER_BUSY: Self = Self(0x89);
    /// Going down.
    pub const SERVER_SHUTTING_DOWN: Self = Self(0x8B);
    /// An unknown method of authentication.
    pub const BAD_AUTH_METHOD: Self = Self(0x8C);
    /// Nothing heard for one and a half times the keep alive.
    pub const KEEP_ALIVE_TIMEOUT: Self = Self(0x8D);
    /// Another connection has the session now.
    pub const TAKEN_OVER: Self = Self(0x8E);
    /// A filter that can never match.
    pub const TOPIC_FILTER_INVALID: Self = Self(0x8F);
    /// A topic that cannot be published to.
    pub const TOPIC_NAME_INVALID: Self = Self(0x90);
    /// More in flight than Receive Maximum.
    pub const RECEIVE_MAXIMUM_EXCEEDED: Self = Self(0x93);
    /// An alias that was never given, or is beyond the maximum.
    pub const TOPIC_ALIAS_INVALID: Self = Self(0x94);
    /// Larger than Maximum Packet Size.
    pub const PACKET_TOO_LARGE: Self = Self(0x95);
    /// Too much, too fast.
    pub const QUOTA_EXCEEDED: Self = Self(0x97);
    /// By an operator's hand.
    pub const ADMINISTRATIVE: Self = Self(0x98);
    /// CONTRACT.md: the payload is not valid, too large or of a wrong type.
    pub const PAYLOAD_INVALID: Self = Self(0x99);
    /// Retained messages are not kept.
    pub const RETAIN_NOT_SUPPORTED: Self = Self(0x9A);
    /// More than QoS 1.
    pub const QOS_NOT_SUPPORTED: Self = Self(0x9B);
    /// Reconnect, maybe elsewhere.
    pub const USE_ANOTHER_SERVER: Self = Self(0x9C);
    /// `$share` is not spoken yet.
    pub const SHARED_NOT_SUPPORTED: Self = Self(0x9E);
    /// Connections come too fast.
    pub const CONNECTION_RATE_EXCEEDED: Self = Self(0x9F);

    /// Whether the code says that it was not done.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// Whether the same publish will never be answered otherwise. Any other refusal may turn into a
    /// success by itself or by an operator's hand: 3.1.1, where a PUBACK always means "done with it",
    /// must not get one.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !self.is_error()
            || matches!(
                self,
                Self::NOT_AUTHORIZED
                    | Self::STALE_GROUP
                    | Self::PAYLOAD_INVALID
                    | Self::TOPIC_NAME_INVALID
                    | Self::PACKET_TOO_LARGE
                    | Self::RETAIN_NOT_SUPPORTED
                    | Self::QOS_NOT_SUPPORTED
            )
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02X}", self.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

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

/// What became of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The reason code of the PUBACK.
    pub code: Code,
    /// What else the sender should know.
    pub detail: Detail,
}

/// What else the sender should know; MQTT 5 user properties or reason string of the PUBACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    None,
    /// `mid`, `seq`, `dup`.
    Committed {
        /// The message's id.
        message_id: MessageId,
        /// Its place.
        seq: Seq,
        /// It was committed by an earlier try.
        duplicate: bool,
    },
    /// `gv`: the group version now.
    GroupVersion(u64),
    /// `retry_after_ms`.
    RetryAfter(Duration),
    /// A reason string.
    Text(Cow<'static, str>),
    /// Not known whether it was done, or it cannot be now: no PUBACK at all. The broker closes the
    /// connection so that the device sends again.
    Withheld,
}

impl Outcome {
    /// Done, nothing to add.
    pub const SUCCESS: Self = Self { code: Code::SUCCESS, detail: Detail::None };
    /// See [`Detail::Withheld`].
    pub const WITHHELD: Self = Self { code: Code::UNSPECIFIED, detail: Detail::Withheld };

    /// Refused with a reason for people.
    #[must_use]
    pub fn refused(code: Code, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: Detail::Text(reason.into()) }
    }

    /// Refused for now.
    #[must_use]
    pub const fn throttled(retry_after: Duration) -> Self {
        Self { code: Code::QUOTA_EXCEEDED, detail: Detail::RetryAfter(retry_after) }
    }

    /// The reason for people and logs; empty: there is none beyond the code.
    #[must_use]
    pub fn text(&self) -> &str {
        match &self.detail {
            Detail::Text(text) => text,
            Detail::RetryAfter(_) => "too much at once; wait and try again",
            _ => "",
        }
    }

    /// Calls `each` with the user properties of CONTRACT.md, "The fate of a send".
    pub fn each_property(&self, mut each: impl FnMut(&'static str, String)) {
        match &self.detail {
            Detail::Committed { message_id, seq, duplicate } => {
                each("mid", message_id.to_string());
                each("seq", seq.to_string());
                each("dup", if *duplicate { "1" } else { "0" }.to_owned());
            }
            Detail::GroupVersion(version) => each("gv", version.to_string()),
            Detail::RetryAfter(wait) => each("retry_after_ms", wait_ms(*wait).to_string()),
            Detail::None | Detail::Text(_) | Detail::Withheld => {}
        }
    }
}

/// A wait as it is told, in milliseconds: rounded up, so that whoever waits as long as told is let
/// through, and never 0.
#[must_use]
pub fn wait_ms(wait: Duration) -> u32 {
    u32::try_from(wait.as_micros().div_ceil(1000).max(1)).unwrap_or(u32::MAX)
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

/// What a connecting client shows.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// As sent; may be empty.
    pub client_id: ByteString,
    /// As sent.
    pub user_name: Option<ByteString>,
    /// As sent: a token. Never logged.
    pub password: Option<Bytes>,
    /// MQTT 3.1.1 or 5.
    pub version: Version,
    /// Where the client is; `None`: its place is not known.
    pub peer: Option<std::net::SocketAddr>,
}

/// Who was let in.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// The client id in force; MQTT 5 is told when it was assigned.
    pub client_id: ByteString,
    /// `None`: an anonymous client, without mounted topics.
    pub identity: Option<Identity>,
    /// Filters it may publish to beyond its own space.
    pub publish: Vec<String>,
    /// Filters it may subscribe beyond its own space.
    pub subscribe: Vec<String>,
    /// Milliseconds since 1970 when the right was issued; `None`: not known.
    pub issued_ms: Option<u64>,
    /// Milliseconds since 1970 when the right ends.
    pub expires_ms: Option<u64>,
}

/// What a client wants to do.
#[derive(Debug, Clone, Copy)]
pub enum Action<'a> {
    /// Publish to a topic, also as a will.
    Publish(&'a str),
    /// Subscribe to a filter.
    Subscribe(&'a str),
}

/// What it may.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grant {
    /// The topic is mounted, or the filter reaches mounted topics.
    pub mounted: bool,
    /// Plain filters in force: for `#` those that the client may read, otherwise the filter
    /// itself. For a plain publish: the topic.
    pub plain: Vec<String>,
}

impl Grant {
    /// Nothing at all.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        !self.mounted && self.plain.is_empty()
    }
}

/// Decides who comes in and what they may do. Implemented by the server.
pub trait Gate: Send + Sync + 'static {
    /// Lets a client in, or refuses with the CONNACK's code. Cheap refusals first.
    fn authenticate(&self, credentials: Credentials) -> Task<'_, Result<Admitted, Outcome>>;

    /// What the client may do; called for every publish, so it must be cheap.
    fn authorize(&self, who: &Admitted, action: Action<'_>) -> Grant;

    /// Whether an admission still holds. The broker asks again once the session is open, so that
    /// nothing that ended the right between the two is missed.
    fn holds(&self, who: &Admitted) -> bool {
        let _ = who;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_rounded_up_and_never_as_none() {
        for (wait, expected) in [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (5_000_000, 5000)]
        {
            assert_eq!(wait_ms(Duration::from_micros(wait)), expected, "{wait} us");
        }
        let mut told = Vec::new();
        let throttled = Outcome::throttled(Duration::from_micros(70));
        throttled.each_property(|name, value| told.push((name, value)));
        assert_eq!(told, [("retry_after_ms", "1".to_owned())]);
    }
}
