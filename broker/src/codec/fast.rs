//! The two packets that are written most, straight into the write buffer: PUBLISH and PUBACK.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{BufMut, BytesMut};
use godwit_core::edge::{Code, Properties, Qos, Version};

use super::either::Codec;
use super::packet::{Error, INEXPRESSIBLE, MQTT_BYTES_MAX, TOO_LARGE};
use super::properties as id;

/// MQTT's largest subscription identifier.
const IDENTIFIER_MAX: u32 = 268_435_455;

/// A PUBLISH on its way to the client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    /// The topic as the client sees it.
    pub(crate) topic: &'a str,
    /// MQTT 5: the alias to set with the topic, or (`true`) to send instead of it.
    pub(crate) alias: Option<(NonZeroU16, bool)>,
    /// A repetition.
    pub(crate) dup: bool,
    /// With `AtLeastOnce`, `packet_id` must be set.
    pub(crate) qos: Qos,
    /// The retain flag.
    pub(crate) retain: bool,
    /// Not looked at with QoS 0.
    pub(crate) packet_id: Option<NonZeroU16>,
    /// MQTT 5; their `expiry_s` is not looked at.
    pub(crate) properties: Option<&'a Properties>,
    /// MQTT 5: seconds that remain of the message's expiry.
    pub(crate) expiry_s: Option<u32>,
    /// MQTT 5: the subscription's identifier.
    pub(crate) identifier: Option<NonZeroU32>,
    /// The payload.
    pub(crate) payload: &'a [u8],
}

impl Codec {
    /// Appends a PUBLISH in the client's version.
    ///
    /// Error: larger than the client's Maximum Packet Size (0x95; the caller drops the message as
    /// if it had been delivered `[MQTT-3.1.2-25]`), or not expressible (a string of more than
    /// 65,535 bytes, QoS 1 without an identifier). `dst` is then as it was.
    pub(crate) fn encode_publish(
        &self,
        dst: &mut BytesMut,
        publish: &Outgoing<'_>,
    ) -> Result<(), Error> {
        let v5 = self.version == Some(Version::V5);
        if publish.identifier.is_some_and(|id| id.get() > IDENTIFIER_MAX) {
            return Err(INEXPRESSIBLE);
        }
        let topic = match publish.alias {
            Some((_, true)) if v5 => "",
            _ => publish.topic,
        };
        let id = match publish.qos {
            Qos::AtMostOnce => None,
            Qos::AtLeastOnce => Some(publish.packet_id.ok_or(INEXPRESSIBLE)?.get()),
        };
        let properties_len = if v5 { properties_len(publish) } else { 0 };
        let len = 2
            + topic.len()
            + id.map_or(0, |_| 2)
            + if v5 { variable_len(properties_len) + properties_len } else { 0 }
            + publish.payload.len();
        let len = self.fits(len)?;
        let start = dst.len();
        dst.reserve(5 + len);
        let flags = u8::from(publish.dup) << 3
            | if id.is_some() { 0b0010 } else { 0 }
            | u8::from(publish.retain);
        dst.put_u8(0x30 | flags);
        put_variable(dst, len);
        let written = put_text(dst, topic.as_bytes()).and_then(|()| {
            if let Some(id) = id {
                dst.put_u16(id);
            }
            if v5 {
                put_variable(dst, properties_len);
                put_properties(dst, publish)?;
            }
            dst.put_slice(publish.payload);
            Ok(())
        });
        if written.is_err() {
            dst.truncate(start);
        }
        written
    }

    /// Appends a PUBACK in the client's version: 3.1.1 without code, MQTT 5 with reason string and
    /// user properties unless the client does not want them or they do not fit.
    ///
    /// Error: the client's Maximum Packet Size is below the five bytes of a bare PUBACK, or a
    /// string has more than 65,535 bytes. `dst` is then as it was.
    pub(crate) fn encode_puback(
        &self,
        dst: &mut BytesMut,
        packet_id: NonZeroU16,
        code: Code,
        reason: Option<&str>,
        user: &[(&str, &str)],
    ) -> Result<(), Error> {
        let start = dst.len();
        let properties_len = reason.map_or(0, |r| 3 + r.len())
            + user.iter().map(|(key, value)| 5 + key.len() + value.len()).sum::<usize>();
        let bare_len = match code {
            _ if self.version != Some(Version::V5) => 2,
            Code::SUCCESS => 2,
            _ => 3,
        };
        let told = properties_len > 0 && self.version == Some(Version::V5) && self.problem_info;
        let len = match self.fits(3 + variable_len(properties_len) + properties_len) {
            Ok(len) if told => len,
            _ => self.fits(bare_len)?,
        };
        dst.reserve(5 + len);
        dst.put_u8(0x40);
        put_variable(dst, len);
        dst.put_u16(packet_id.get());
        if len == 2 {
            return Ok(());
        }
        dst.put_u8(code.0);
        if len == 3 {
            return Ok(());
        }
        put_variable(dst, properties_len);
        let written = reason
            .map_or(Ok(()), |reason| put_string(dst, id::REASON_STRING, reason.as_bytes()))
            .and_then(|()| user.iter().try_for_each(|(key, value)| put_user(dst, key, value)));
        if written.is_err() {
            dst.truncate(start);
        }
        written
    }

    /// The remaining length, if the packet fits into the client's Maximum Packet Size.
    fn fits(&self, len: usize) -> Result<usize, Error> {
        let total = 1 + variable_len(len) + len;
        if total > MQTT_BYTES_MAX.min(self.outbound_bytes_max as usize) {
            return Err(TOO_LARGE);
        }
        Ok(len)
    }
}

fn properties_len(publish: &Outgoing<'_>) -> usize {
    let text = |len: Option<usize>| len.map_or(0, |len| 3 + len);
    let own = publish.alias.map_or(0, |_| 3)
        + publish.expiry_s.map_or(0, |_| 5)
        + publish.identifier.map_or(0, |id| 1 + variable_len(id.get() as usize));
    let Some(properties) = publish.properties else { return own };
    own + properties.is_utf8.map_or(0, |_| 2)
        + text(properties.content_type.as_ref().map(|t| t.len()))
        + text(properties.response_topic.as_ref().map(|t| t.len()))
        + text(properties.correlation_data.as_ref().map(bytes::Bytes::len))
        + properties.user.iter().map(|(key, value)| 5 + key.len() + value.len()).sum::<usize>()
}

fn put_properties(dst: &mut BytesMut, publish: &Outgoing<'_>) -> Result<(), Error> {
    if let Some((alias, _)) = publish.alias {
        dst.put_u8(id::TOPIC_ALIAS);
        dst.put_u16(alias.get());
    }
    if let Some(expiry_s) = publish.expiry_s {
        dst.put_u8(id::MESSAGE_EXPIRY);
        dst.put_u32(expiry_s);
    }
    if let Some(identifier) = publish.identifier {
        dst.put_u8(id::SUBSCRIPTION_ID);
        put_variable(dst, identifier.get() as usize);
    }
    let Some(properties) = publish.properties else { return Ok(()) };
    if let Some(is_utf8) = properties.is_utf8 {
        dst.put_slice(&[id::PAYLOAD_FORMAT, u8::from(is_utf8)]);
    }
    if let Some(text) = &properties.content_type {
        put_string(dst, id::CONTENT_TYPE, text.as_bytes())?;
    }
    if let Some(text) = &properties.response_topic {
        put_string(dst, id::RESPONSE_TOPIC, text.as_bytes())?;
    }
    if let Some(data) = &properties.correlation_data {
        put_string(dst, id::CORRELATION_DATA, data)?;
    }
    properties.user.iter().try_for_each(|(key, value)| put_user(dst, key, value))
}

fn put_user(dst: &mut BytesMut, key: &str, value: &str) -> Result<(), Error> {
    put_string(dst, id::USER, key.as_bytes())?;
    put_text(dst, value.as_bytes())
}

fn put_string(dst: &mut BytesMut, id: u8, text: &[u8]) -> Result<(), Error> {
    dst.put_u8(id);
    put_text(dst, text)
}

fn put_text(dst: &mut BytesMut, text: &[u8]) -> Result<(), Error> {
    dst.put_u16(u16::try_from(text.len()).map_err(|_| INEXPRESSIBLE)?);
    dst.put_slice(text);
    Ok(())
}

/// Bytes of a variable byte integer; values come from lengths below 256 MiB.
const fn variable_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

fn put_variable(dst: &mut BytesMut, mut value: usize) {
    loop {
        let digit = value.to_le_bytes()[0] & 0x7F;
        value >>= 7;
        dst.put_u8(if value > 0 { digit | 0x80 } else { digit });
        if value == 0 {
            return;
        }
    }
}
