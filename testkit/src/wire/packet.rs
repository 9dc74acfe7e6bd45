//! What a server sends.

use super::property::{take_bytes, take_text, take_two, take_var};
use super::{Properties, Version};

/// A PUBLISH, either way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publish {
    /// Sent before.
    pub dup: bool,
    /// 0, 1 or, to provoke, 2 and 3.
    pub qos: u8,
    /// The retain flag.
    pub retain: bool,
    /// Empty with a topic alias.
    pub topic: String,
    /// 0 with QoS 0.
    pub packet_id: u16,
    /// MQTT 5's properties.
    pub properties: Properties,
    /// The payload.
    pub payload: Vec<u8>,
}

/// A packet from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// CONNACK.
    ConnAck {
        /// A session was kept.
        present: bool,
        /// Return code (3.1.1) or reason code (5).
        code: u8,
        /// MQTT 5's properties.
        properties: Properties,
    },
    /// PUBLISH.
    Publish(Publish),
    /// PUBACK.
    PubAck {
        /// Which publish.
        packet_id: u16,
        /// Reason code; 0 with 3.1.1.
        code: u8,
        /// MQTT 5's properties.
        properties: Properties,
    },
    /// SUBACK.
    SubAck {
        /// Which SUBSCRIBE.
        packet_id: u16,
        /// One for each filter.
        codes: Vec<u8>,
    },
    /// UNSUBACK; with 3.1.1 without codes.
    UnsubAck {
        /// Which UNSUBSCRIBE.
        packet_id: u16,
        /// One for each filter.
        codes: Vec<u8>,
    },
    /// PINGRESP.
    PingResp,
    /// DISCONNECT (5).
    Disconnect {
        /// Why.
        code: u8,
        /// MQTT 5's properties.
        properties: Properties,
    },
    /// AUTH (5).
    Auth {
        /// 0: the client is who it says.
        code: u8,
    },
    /// The server closed the connection.
    Closed,
}

/// Takes one packet from the front of `buffer`. `Ok(None)`: not all of it is there yet.
/// Errors: bytes that no server may send.
pub fn take(version: Version, buffer: &mut Vec<u8>) -> Result<Option<Received>, String> {
    let mut rest = buffer.as_slice();
    let Some(first) = take_bytes(&mut rest, 1).map(|b| b[0]) else { return Ok(None) };
    let Some(len) = take_var(&mut rest) else {
        return if rest.len() >= 4 { Err("remaining length".into()) } else { Ok(None) };
    };
    let Some(body) = take_bytes(&mut rest, len as usize) else { return Ok(None) };
    let packet = parse(version, first, body)
        .ok_or_else(|| format!("malformed packet from the server: {first:#04x} {body:02x?}"))?;
    let left = rest.len();
    buffer.drain(..buffer.len() - left);
    Ok(Some(packet))
}

fn parse(version: Version, first: u8, mut body: &[u8]) -> Option<Received> {
    let v5 = version == Version::V5;
    let from = &mut body;
    let packet = match first {
        0x20 => {
            let flags = take_bytes(from, 2)?;
            let properties = if v5 { Properties::read(from)? } else { Properties::none() };
            Received::ConnAck { present: flags[0] == 1, code: flags[1], properties }
        }
        0x30..=0x3F => {
            let topic = String::from_utf8(take_text(from)?.to_vec()).ok()?;
            let qos = (first >> 1) & 0b11;
            let packet_id = if qos > 0 { take_two(from)? } else { 0 };
            let properties = if v5 { Properties::read(from)? } else { Properties::none() };
            let payload = std::mem::take(from).to_vec();
            let (dup, retain) = (first & 0b1000 != 0, first & 1 != 0);
            Received::Publish(Publish { dup, qos, retain, topic, packet_id, properties, payload })
        }
        0x40 => {
            let packet_id = take_two(from)?;
            let (code, properties) = code_and_properties(v5, from)?;
            Received::PubAck { packet_id, code, properties }
        }
        0x90 | 0xB0 => {
            let packet_id = take_two(from)?;
            if v5 {
                Properties::read(from)?;
            }
            let codes = std::mem::take(from).to_vec();
            match first {
                0x90 => Received::SubAck { packet_id, codes },
                _ => Received::UnsubAck { packet_id, codes },
            }
        }
        0xD0 => Received::PingResp,
        0xE0 if v5 => {
            let (code, properties) = code_and_properties(v5, from)?;
            Received::Disconnect { code, properties }
        }
        0xF0 if v5 => Received::Auth { code: code_and_properties(v5, from)?.0 },
        _ => return None,
    };
    from.is_empty().then_some(packet)
}

/// The optional tail of PUBACK and DISCONNECT.
fn code_and_properties(v5: bool, from: &mut &[u8]) -> Option<(u8, Properties)> {
    if !v5 || from.is_empty() {
        return Some((0, Properties::none()));
    }
    let code = take_bytes(from, 1)?[0];
    let properties = if from.is_empty() { Properties::none() } else { Properties::read(from)? };
    Some((code, properties))
}
