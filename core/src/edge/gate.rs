//! Who comes in, and what they may do.

use bytes::Bytes;
use bytestring::ByteString;

use super::{Outcome, Task, Version};
use crate::ids::Identity;

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
