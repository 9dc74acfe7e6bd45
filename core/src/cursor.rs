//! Where a device stands: a session is a set of cursors over the shared logs.

use crate::ids::{ConversationId, Identity, Seq};

/// How a device reads conversations. The codes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Feed {
    /// `m/{cid}`: log entries as protobuf, without the device's own sends.
    Log,
    /// `c/{cid}`: bodies of messages as they are, for plain clients.
    Plain,
    /// `x`: what became of the user in conversations. No log, but notices of the user
    /// ([`crate::notice`]); a mark of it names [`NO_CONVERSATION`].
    Control,
    /// `o`: what another device of the user has set. Likewise.
    Own,
}

/// Stands in marks of feeds that are about the user.
pub const NO_CONVERSATION: ConversationId = ConversationId([0; 16]);

impl Feed {
    /// The stored code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Plain => 2,
            Self::Control => 3,
            Self::Own => 4,
        }
    }

    /// Whether it reads the logs of conversations.
    #[must_use]
    pub const fn is_log(self) -> bool {
        matches!(self, Self::Log | Self::Plain)
    }

    /// The feed of a stored code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Log),
            2 => Some(Self::Plain),
            3 => Some(Self::Control),
            4 => Some(Self::Own),
            _ => None,
        }
    }
}

/// Which conversations of the user a subscription or cursor operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// All, also those that come later (`m/#`).
    All,
    /// One (`m/{cid}`).
    One(ConversationId),
}

/// A place in a log that a delivery carries; confirmed when the device has acknowledged it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Which feed.
    pub feed: Feed,
    /// Which log.
    pub conversation: ConversationId,
    /// Everything up to here has arrived.
    pub seq: Seq,
}

/// A cursor to be moved. Cursors never move back: a lower one changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The device.
    pub device: Identity,
    /// Its new place.
    pub mark: Mark,
}

/// A conversation in which a device has something to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// The log.
    pub conversation: ConversationId,
    /// Delivered up to here; the next to read is above it.
    pub delivered_seq: Seq,
    /// The log's head.
    pub head_seq: Seq,
}

/// A subscription as a kept session stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The filter as the device wrote it.
    pub filter: String,
    /// MQTT's subscription options byte: QoS, no-local, retain-as-published, retain handling.
    pub options: u8,
    /// MQTT 5's subscription identifier.
    pub identifier: Option<u32>,
}

/// A CONNECT's effect on the stored session of its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The device.
    pub device: Identity,
    /// Forget what was kept.
    pub clean: bool,
    /// Keep the session after the end for so many seconds; 0: keep nothing.
    pub expiry_s: u32,
    /// Milliseconds since 1970.
    pub time_ms: u64,
}

/// What was kept for a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opened {
    /// A session was kept and is not expired.
    pub present: bool,
    /// Its subscriptions.
    pub subscriptions: Vec<Subscription>,
}

/// A change of a kept session's subscriptions, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscriptionChange {
    /// Added, or replaced where the filter stands already.
    pub put: Vec<Subscription>,
    /// Filters that end.
    pub remove: Vec<String>,
    /// Feeds that begin: each conversation of the scope without a cursor gets one at its head now.
    pub start: Vec<(Feed, Scope)>,
    /// Feeds that end: their cursors are forgotten.
    pub stop: Vec<(Feed, Scope)>,
}
