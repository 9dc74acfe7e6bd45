//! The protocols, sans-IO: bytes in, events and bytes out. No socket, no clock.

mod event;
pub(crate) mod mqtt;
pub(crate) mod packet;
pub(crate) mod protobuf;
pub(crate) mod xmpp;

use crate::stamp::Stamp;

pub(crate) use event::{Error, Event, Step};

/// One connection's protocol.
pub(crate) enum Wire {
    /// MQTT 3.1.1 or 5.
    Mqtt(Box<mqtt::Mqtt>),
    /// XMPP, for ejabberd.
    Xmpp(Box<xmpp::Xmpp>),
}

impl Wire {
    /// Appends what opens the session.
    pub(crate) fn open(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Mqtt(mqtt) => mqtt.open(out),
            Self::Xmpp(xmpp) => xmpp.open(out),
        }
    }

    /// Looks at the input for one packet; answers that the protocol asks for go to `out`.
    /// None: more bytes are needed.
    pub(crate) fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step {
        match self {
            Self::Mqtt(mqtt) => mqtt.step(input, out),
            Self::Xmpp(xmpp) => xmpp.step(input, out),
        }
    }

    /// Appends one message of `size` bytes of body and returns the id it will be answered by.
    pub(crate) fn publish(&mut self, stamp: Stamp, size: usize, out: &mut Vec<u8>) -> u32 {
        match self {
            Self::Mqtt(mqtt) => mqtt.publish(stamp, size, out),
            Self::Xmpp(xmpp) => xmpp.publish(stamp, size, out),
        }
    }

    /// Appends something that passes, with QoS 0 (MQTT only: nothing here asks it of XMPP).
    pub(crate) fn pass(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        if let Self::Mqtt(mqtt) = self {
            mqtt.pass(payload, out);
        }
    }

    /// Appends what ends the session.
    pub(crate) fn close(&self, out: &mut Vec<u8>) {
        match self {
            Self::Mqtt(_) => mqtt::Mqtt::close(out),
            Self::Xmpp(_) => xmpp::Xmpp::close(out),
        }
    }

    /// Unanswered publishes that the server allows at once.
    pub(crate) fn window(&self) -> u32 {
        match self {
            Self::Mqtt(mqtt) => mqtt.window(),
            Self::Xmpp(_) => crate::limits::WINDOW_MAX,
        }
    }
}
