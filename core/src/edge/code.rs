//! MQTT 5's reason codes.

use std::fmt;

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
