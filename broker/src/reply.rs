//! The broker's own packets, built for the client's version.

use std::num::NonZeroU16;

use bytes::BytesMut;
use bytestring::ByteString;
use godwit_core::edge::{Code, Detail, Outcome, Version};
use rmqtt_codec::types::QoS as WireQos;

use crate::codec::{Codec, v3, v5};
use crate::packet::TOKEN_METHOD;

/// What a CONNACK tells an admitted client.
#[derive(Debug)]
pub(crate) struct Welcome {
    pub(crate) session_present: bool,
    pub(crate) expiry_s: Option<u32>,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_bytes_max: u32,
    pub(crate) assigned_client_id: Option<ByteString>,
    pub(crate) topic_alias_max: u16,
    pub(crate) keep_alive_s: Option<u16>,
    /// As the client named it. [MQTT-4.12.0-5]
    pub(crate) auth_method: Option<ByteString>,
    /// Plain messages that were lost for want of room while the client was away or too slow.
    pub(crate) dropped: u64,
}

/// Appends the CONNACK that lets the client in.
pub(crate) fn welcome(codec: &Codec, version: Version, welcome: Welcome, out: &mut BytesMut) {
    let dropped = (welcome.dropped > 0)
        .then(|| (ByteString::from_static("dropped"), welcome.dropped.to_string().into()));
    // These packets are small and fixed: they can always be expressed.
    let _ = match version {
        Version::V3 => codec.encode(
            v3::Packet::ConnectAck(v3::ConnectAck {
                return_code: v3::ConnectAckReason::ConnectionAccepted,
                session_present: welcome.session_present,
            }),
            out,
        ),
        Version::V5 => codec.encode(
            v5::Packet::ConnectAck(Box::new(v5::ConnectAck {
                session_present: welcome.session_present,
                session_expiry_interval_secs: welcome.expiry_s,
                receive_max: NonZeroU16::new(welcome.receive_maximum).unwrap_or(NonZeroU16::MIN),
                max_qos: WireQos::AtLeastOnce,
                max_packet_size: Some(welcome.packet_bytes_max),
                assigned_client_id: welcome.assigned_client_id,
                topic_alias_max: welcome.topic_alias_max,
                shared_subscription_available: false,
                server_keepalive_sec: welcome.keep_alive_s,
                auth_method: welcome.auth_method,
                user_properties: dropped.into_iter().collect(),
                ..v5::ConnectAck::default()
            })),
            out,
        ),
    };
}

/// Appends the CONNACK that turns the client away.
pub(crate) fn turn_away(codec: &Codec, version: Version, outcome: &Outcome, out: &mut BytesMut) {
    let _ = match version {
        Version::V3 => {
            let return_code = match outcome.code {
                Code::UNSUPPORTED_VERSION => v3::ConnectAckReason::UnacceptableProtocolVersion,
                Code::CLIENT_ID_INVALID => v3::ConnectAckReason::IdentifierRejected,
                Code::BAD_CREDENTIALS => v3::ConnectAckReason::BadUserNameOrPassword,
                // What is too large will not become smaller by waiting, as 3 would say.
                Code::NOT_AUTHORIZED | Code::PACKET_TOO_LARGE => {
                    v3::ConnectAckReason::NotAuthorized
                }
                _ => v3::ConnectAckReason::ServiceUnavailable,
            };
            let refused = v3::ConnectAck { return_code, session_present: false };
            codec.encode(v3::Packet::ConnectAck(refused), out)
        }
        Version::V5 => {
            let reason_code = v5::ConnectAckReason::try_from(outcome.code.0)
                .unwrap_or(v5::ConnectAckReason::UnspecifiedError);
            let refused = v5::ConnectAck {
                reason_code,
                reason_string: reason(outcome),
                user_properties: user_properties(outcome),
                ..v5::ConnectAck::default()
            };
            codec.encode(v5::Packet::ConnectAck(Box::new(refused)), out)
        }
    };
}

fn reason(outcome: &Outcome) -> Option<ByteString> {
    match &outcome.detail {
        Detail::Text(text) => Some(text.as_ref().into()),
        _ => None,
    }
}

fn user_properties(outcome: &Outcome) -> Vec<(ByteString, ByteString)> {
    let mut user = Vec::new();
    outcome.each_property(|name, value| user.push((ByteString::from_static(name), value.into())));
    user
}

/// Appends a PUBACK. 3.1.1 has no code: refusals are acknowledged too, and told on `a`.
pub(crate) fn puback(codec: &Codec, packet_id: NonZeroU16, outcome: &Outcome, out: &mut BytesMut) {
    let written = if codec.problem_info() && codec.version() == Some(Version::V5) {
        let user = user_properties(outcome);
        let user: Vec<_> = user.iter().map(|(name, value)| (&**name, &**value)).collect();
        let reason = reason(outcome);
        codec.encode_puback(out, packet_id, outcome.code, reason.as_deref(), &user)
    } else {
        codec.encode_puback(out, packet_id, outcome.code, None, &[])
    };
    if let Err(error) = written {
        tracing::debug!(stage = "ack", %error, "a PUBACK does not fit the client");
    }
}

/// Appends a SUBACK.
pub(crate) fn suback(
    codec: &Codec,
    version: Version,
    packet_id: NonZeroU16,
    codes: &[Code],
    out: &mut BytesMut,
) {
    let _ = match version {
        Version::V3 => {
            let status = codes
                .iter()
                .map(|code| match code.0 {
                    0 => v3::SubscribeReturnCode::Success(WireQos::AtMostOnce),
                    1 => v3::SubscribeReturnCode::Success(WireQos::AtLeastOnce),
                    _ => v3::SubscribeReturnCode::Failure,
                })
                .collect();
            codec.encode(v3::Packet::SubscribeAck { packet_id, status }, out)
        }
        Version::V5 => {
            let status = codes
                .iter()
                .map(|code| {
                    v5::SubscribeAckReason::try_from(code.0)
                        .unwrap_or(v5::SubscribeAckReason::UnspecifiedError)
                })
                .collect();
            let suback =
                v5::SubscribeAck { packet_id, status, properties: Vec::new(), reason_string: None };
            codec.encode(v5::Packet::SubscribeAck(suback), out)
        }
    };
}

/// Appends an UNSUBACK.
pub(crate) fn unsuback(
    codec: &Codec,
    version: Version,
    packet_id: NonZeroU16,
    codes: &[Code],
    out: &mut BytesMut,
) {
    let _ = match version {
        Version::V3 => codec.encode(v3::Packet::UnsubscribeAck { packet_id }, out),
        Version::V5 => {
            let status = codes
                .iter()
                .map(|code| {
                    v5::UnsubscribeAckReason::try_from(code.0)
                        .unwrap_or(v5::UnsubscribeAckReason::UnspecifiedError)
                })
                .collect();
            let unsuback = v5::UnsubscribeAck {
                packet_id,
                status,
                properties: Vec::new(),
                reason_string: None,
            };
            codec.encode(v5::Packet::UnsubscribeAck(unsuback), out)
        }
    };
}

/// Appends a PINGRESP.
pub(crate) fn pong(codec: &Codec, version: Version, out: &mut BytesMut) {
    let _ = match version {
        Version::V3 => codec.encode(v3::Packet::PingResponse, out),
        Version::V5 => codec.encode(v5::Packet::PingResponse, out),
    };
}

/// Appends the AUTH that accepts a fresh token.
pub(crate) fn refreshed(codec: &Codec, out: &mut BytesMut) {
    let auth = v5::Auth {
        reason_code: v5::AuthReasonCode::Success,
        auth_method: Some(ByteString::from_static(TOKEN_METHOD)),
        auth_data: None,
        reason_string: None,
        user_properties: Vec::new(),
    };
    let _ = codec.encode(v5::Packet::Auth(auth), out);
}

/// Appends a DISCONNECT; 3.1.1 has none from the server, its connection just closes.
pub(crate) fn farewell(
    codec: &Codec,
    version: Version,
    code: Code,
    reason: Option<&'static str>,
    out: &mut BytesMut,
) {
    if version == Version::V3 {
        return;
    }
    let reason_code = v5::DisconnectReasonCode::try_from(code.0)
        .unwrap_or(v5::DisconnectReasonCode::UnspecifiedError);
    let disconnect = v5::Disconnect {
        reason_code,
        session_expiry_interval_secs: None,
        server_reference: None,
        reason_string: reason.map(ByteString::from_static),
        user_properties: Vec::new(),
    };
    let _ = codec.encode(v5::Packet::Disconnect(disconnect), out);
}
