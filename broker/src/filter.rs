//! Topic filters: what one matches, and how a client wants it.

use std::num::NonZeroU32;

use godwit_core::edge::{Qos, SubscribeRequest};

/// How a client wants what a filter matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) qos: Qos,
    /// Not what the client published itself (MQTT 5).
    pub(crate) no_local: bool,
    /// Keep the retain flag as it was published (MQTT 5).
    pub(crate) retain_as_published: bool,
    pub(crate) identifier: Option<NonZeroU32>,
    /// The number of its replay of retained messages ([`crate::replay`]); 0: it has none.
    pub(crate) replay: u64,
}

impl Wish {
    /// From MQTT's subscription options.
    pub(crate) fn of(request: &SubscribeRequest) -> Self {
        let subscription = &request.subscription;
        Self {
            qos: request.qos(),
            no_local: subscription.options & 0b100 != 0,
            retain_as_published: subscription.options & 0b1000 != 0,
            identifier: subscription.identifier.and_then(NonZeroU32::new),
            replay: 0,
        }
    }
}

/// Whether `filter` matches `topic` ([MQTT-4.7.1-2], [MQTT-4.7.1-3], [MQTT-4.7.2-1]).
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && (filter.starts_with('#') || filter.starts_with('+')) {
        return false;
    }
    let (mut filters, mut topics) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), topics.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(f), Some(t)) if f == t => {}
            _ => return false,
        }
    }
}
