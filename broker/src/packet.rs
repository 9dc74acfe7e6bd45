//! Packets of both versions as one type, so that the rest of the broker knows one MQTT.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;
use godwit_core::edge::{Message, Properties, Qos, Version};
use rmqtt_codec::types::QoS as WireQos;

use crate::client::Will;
use crate::codec::{Packet, v3, v5};

/// The one Authentication Method: the data is a token. A client that named it at CONNECT may send a
/// fresh token by AUTH (0x19) before the old one expires.
pub(crate) const TOKEN_METHOD: &str = "token";

/// A CONNECT.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) version: Version,
    pub(crate) client_id: ByteString,
    pub(crate) user_name: Option<ByteString>,
    pub(crate) password: Option<Bytes>,
    pub(crate) clean: bool,
    pub(crate) keep_alive_s: u16,
    /// As asked; 3.1.1 has none.
    pub(crate) expiry_s: Option<u32>,
    pub(crate) receive_maximum: Option<NonZeroU16>,
    pub(crate) topic_alias_max: u16,
    pub(crate) will: Option<Will>,
    /// QoS 2, which is not spoken here.
    pub(crate) will_qos_2: bool,
    /// MQTT 5's Authentication Method; see [`TOKEN_METHOD`].
    pub(crate) auth_method: Option<ByteString>,
    /// Goes with the method: a token, instead of the password.
    pub(crate) auth_data: Option<Bytes>,
}

/// A PUBLISH.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) message: Message,
    pub(crate) alias: Option<NonZeroU16>,
    /// `None`: QoS 2.
    pub(crate) qos: Option<Qos>,
    pub(crate) packet_id: Option<NonZeroU16>,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
}

/// What a client may send after CONNECT.
#[derive(Debug)]
pub(crate) enum Inbound {
    Connect(Box<Hello>),
    Publish(Box<Incoming>),
    PubAck(NonZeroU16),
    Subscribe {
        packet_id: NonZeroU16,
        identifier: Option<NonZeroU32>,
        /// Filters with MQTT's options byte.
        filters: Vec<(ByteString, u8)>,
    },
    Unsubscribe {
        packet_id: NonZeroU16,
        filters: Vec<ByteString>,
    },
    Ping,
    Disconnect {
        /// 0x04: the will shall be sent all the same.
        with_will: bool,
        expiry_s: Option<u32>,
    },
    /// AUTH: a fresh token, if it is of the method named at CONNECT and asks for
    /// re-authentication.
    Auth {
        method: Option<ByteString>,
        data: Option<Bytes>,
        again: bool,
    },
    /// Packets of QoS 2.
    Qos2,
    /// Nothing that a client sends; the codec refuses it before.
    Other,
}

fn qos_of(qos: WireQos) -> Option<Qos> {
    match qos {
        WireQos::AtMostOnce => Some(Qos::AtMostOnce),
        WireQos::AtLeastOnce => Some(Qos::AtLeastOnce),
        WireQos::ExactlyOnce => None,
    }
}

impl From<Packet> for Inbound {
    fn from(packet: Packet) -> Self {
        match packet {
            Packet::V3(packet) => from_v3(packet),
            Packet::V5(packet) => from_v5(packet),
        }
    }
}

fn from_v3(packet: v3::Packet) -> Inbound {
    match packet {
        v3::Packet::Connect(connect) => Inbound::Connect(Box::new(hello_v3(*connect))),
        v3::Packet::Publish(publish) => Inbound::Publish(Box::new(incoming(*publish))),
        v3::Packet::PublishAck { packet_id } => Inbound::PubAck(packet_id),
        v3::Packet::Subscribe { packet_id, topic_filters } => {
            let filters = topic_filters.into_iter().map(|(f, q)| (f, q.value())).collect();
            Inbound::Subscribe { packet_id, identifier: None, filters }
        }
        v3::Packet::Unsubscribe { packet_id, topic_filters } => {
            Inbound::Unsubscribe { packet_id, filters: topic_filters }
        }
        v3::Packet::PingRequest => Inbound::Ping,
        v3::Packet::Disconnect => Inbound::Disconnect { with_will: false, expiry_s: None },
        v3::Packet::PublishReceived { .. }
        | v3::Packet::PublishRelease { .. }
        | v3::Packet::PublishComplete { .. } => Inbound::Qos2,
        _ => Inbound::Other,
    }
}

fn from_v5(packet: v5::Packet) -> Inbound {
    match packet {
        v5::Packet::Connect(connect) => Inbound::Connect(Box::new(hello_v5(*connect))),
        v5::Packet::Publish(publish) => Inbound::Publish(Box::new(incoming(*publish))),
        v5::Packet::PublishAck(ack) => Inbound::PubAck(ack.packet_id),
        v5::Packet::Subscribe(subscribe) => Inbound::Subscribe {
            packet_id: subscribe.packet_id,
            identifier: subscribe.id,
            filters: subscribe.topic_filters.into_iter().map(|(f, o)| (f, options(o))).collect(),
        },
        v5::Packet::Unsubscribe(unsubscribe) => Inbound::Unsubscribe {
            packet_id: unsubscribe.packet_id,
            filters: unsubscribe.topic_filters,
        },
        v5::Packet::PingRequest => Inbound::Ping,
        v5::Packet::Disconnect(disconnect) => Inbound::Disconnect {
            with_will: disconnect.reason_code != v5::DisconnectReasonCode::NormalDisconnection,
            expiry_s: disconnect.session_expiry_interval_secs,
        },
        v5::Packet::Auth(auth) => Inbound::Auth {
            method: auth.auth_method,
            data: auth.auth_data,
            again: auth.reason_code == v5::AuthReasonCode::ReAuth,
        },
        v5::Packet::PublishReceived(_)
        | v5::Packet::PublishRelease(_)
        | v5::Packet::PublishComplete(_) => Inbound::Qos2,
        _ => Inbound::Other,
    }
}

/// MQTT's subscription options byte.
fn options(options: v5::SubscriptionOptions) -> u8 {
    options.qos.value()
        | u8::from(options.no_local) << 2
        | u8::from(options.retain_as_published) << 3
        | u8::from(options.retain_handling) << 4
}

fn incoming(publish: rmqtt_codec::types::Publish) -> Incoming {
    let mut alias = None;
    let properties = publish.properties.and_then(|p| {
        alias = p.topic_alias;
        let properties = Properties {
            response_topic: p.response_topic,
            correlation_data: p.correlation_data,
            content_type: p.content_type,
            is_utf8: p.is_utf8_payload.then_some(true),
            expiry_s: p.message_expiry_interval.map(NonZeroU32::get),
            user: p.user_properties,
        };
        (properties != Properties::default()).then(|| Box::new(properties))
    });
    Incoming {
        message: Message { topic: publish.topic, payload: publish.payload, properties },
        alias,
        qos: qos_of(publish.qos),
        packet_id: publish.packet_id,
        retain: publish.retain,
        dup: publish.dup,
    }
}

fn hello_v3(connect: v3::Connect) -> Hello {
    // 3.1.1 has no way to say that QoS 2 is not spoken: such a will is sent with QoS 1.
    let will = connect.last_will.map(|will| Will {
        message: Message { topic: will.topic, payload: will.message, properties: None },
        qos: qos_of(will.qos).unwrap_or(Qos::AtLeastOnce),
        retain: will.retain,
        delay_s: 0,
    });
    Hello {
        version: Version::V3,
        client_id: connect.client_id,
        user_name: connect.username,
        password: connect.password,
        clean: connect.clean_session,
        keep_alive_s: connect.keep_alive,
        expiry_s: None,
        receive_maximum: None,
        topic_alias_max: 0,
        will,
        will_qos_2: false,
        auth_method: None,
        auth_data: None,
    }
}

fn hello_v5(connect: v5::Connect) -> Hello {
    let will_qos_2 =
        connect.last_will.as_ref().is_some_and(|will| will.qos == WireQos::ExactlyOnce);
    let will = connect.last_will.map(|will| Will {
        qos: qos_of(will.qos).unwrap_or(Qos::AtLeastOnce),
        retain: will.retain,
        delay_s: will.will_delay_interval_sec.unwrap_or(0),
        message: Message {
            topic: will.topic,
            payload: will.message,
            properties: Some(Box::new(Properties {
                response_topic: will.response_topic,
                correlation_data: will.correlation_data,
                content_type: will.content_type,
                is_utf8: will.is_utf8_payload,
                expiry_s: will.message_expiry_interval.map(NonZeroU32::get),
                user: will.user_properties,
            })),
        },
    });
    Hello {
        version: Version::V5,
        client_id: connect.client_id,
        user_name: connect.username,
        password: connect.password,
        clean: connect.clean_start,
        keep_alive_s: connect.keep_alive,
        expiry_s: Some(connect.session_expiry_interval_secs),
        receive_maximum: connect.receive_max,
        topic_alias_max: connect.topic_alias_max,
        will,
        will_qos_2,
        auth_method: connect.auth_method,
        auth_data: connect.auth_data,
    }
}
