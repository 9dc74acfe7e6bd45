//! How a device wants what it subscribes to.

use std::num::NonZeroU32;

use godwit_core::cursor::Subscription;
use godwit_core::edge::Qos;

/// How a device wants what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) qos: Qos,
    /// Not its own bodies (MQTT 5).
    pub(crate) no_local: bool,
    pub(crate) identifier: Option<NonZeroU32>,
}

impl Wish {
    /// From MQTT's subscription options.
    pub(crate) fn of(subscription: &Subscription) -> Self {
        let qos = if subscription.options & 0b11 == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce };
        Self {
            qos,
            no_local: subscription.options & 0b100 != 0,
            identifier: subscription.identifier.and_then(NonZeroU32::new),
        }
    }
}
