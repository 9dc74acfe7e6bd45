//! A packet of either version, and why there is none.

use godwit_core::edge::{Code, Version};
pub(crate) use rmqtt_codec::{v3, v5};

/// Bytes of the largest packet that MQTT can express: header and 256 MiB less one.
pub(super) const MQTT_BYTES_MAX: usize = 5 + 268_435_455;

/// A packet of either version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    /// MQTT 3.1.1.
    V3(v3::Packet),
    /// MQTT 5.
    V5(v5::Packet),
}

impl From<v3::Packet> for Packet {
    fn from(packet: v3::Packet) -> Self {
        Self::V3(packet)
    }
}

impl From<v5::Packet> for Packet {
    fn from(packet: v5::Packet) -> Self {
        Self::V5(packet)
    }
}

/// Why the connection must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({code})")]
pub(crate) struct Error {
    /// For a DISCONNECT, or a CONNACK when `answer` is set. A 3.1.1 connection just closes.
    pub(crate) code: Code,
    /// For logs and MQTT 5's reason string. Holds nothing of the input.
    pub(crate) what: &'static str,
    /// The error is in the CONNECT, and a CONNACK of this form may tell of it. `None` before
    /// CONNECT: close without a word.
    pub(crate) answer: Option<Version>,
}

impl Error {
    pub(super) const fn new(code: Code, what: &'static str) -> Self {
        Self { code, what, answer: None }
    }

    pub(super) const fn malformed(what: &'static str) -> Self {
        Self::new(Code::MALFORMED_PACKET, what)
    }

    pub(super) const fn protocol(what: &'static str) -> Self {
        Self::new(Code::PROTOCOL_ERROR, what)
    }

    /// The same about a CONNECT: MQTT 5 is told all, 3.1.1 what its return codes can say.
    pub(super) fn in_connect(mut self, version: Version) -> Self {
        let told = version == Version::V5
            || matches!(
                self.code,
                Code::UNSUPPORTED_VERSION | Code::CLIENT_ID_INVALID | Code::PACKET_TOO_LARGE
            );
        self.answer = told.then_some(version);
        self
    }
}

/// A string of more than 65,535 bytes, a PUBLISH of QoS 1 without an identifier, and the like.
pub(super) const INEXPRESSIBLE: Error =
    Error::new(Code::UNSPECIFIED, "the packet cannot be expressed");

/// Beyond what the client takes.
pub(super) const TOO_LARGE: Error =
    Error::new(Code::PACKET_TOO_LARGE, "larger than the client's Maximum Packet Size");
