//! What a session tells of, whatever it speaks.

use crate::stamp::Stamp;

/// What the other side said, in the words of a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The session is up and its subscription, if it has one, is granted.
    Ready,
    /// The publish with this id was answered; 0x80 and above is a refusal.
    Acked {
        /// The id that [`super::Wire::publish`] gave.
        id: u32,
        /// The MQTT reason code; 0 for protocols that have none.
        code: u8,
    },
    /// All publishes up to this many were answered since the session began (XEP-0198).
    AckedUpTo {
        /// Publishes answered so far, modulo 2^32.
        count: u32,
    },
    /// A body arrived. None: not one of ours (an entry of another type).
    Delivered(Option<Stamp>),
    /// Something came with QoS 0: a head notice, typing.
    Passed,
}

/// Why a session cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The server refused the session or the subscription.
    #[error("refused: {0}")]
    Refused(String),
    /// The server ended the session.
    #[error("ended by the server: {0}")]
    Ended(String),
    /// What arrived is not the protocol.
    #[error("not understood: {0}")]
    Malformed(&'static str),
}

/// What one look at the input gave: nothing yet, or bytes used and perhaps an event.
pub(crate) type Step = Result<Option<(usize, Option<Event>)>, Error>;
