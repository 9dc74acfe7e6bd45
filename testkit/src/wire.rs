//! MQTT packets of a client, written and read by hand.
//!
//! The server's codec must not be judged by itself, so tests have their own, small one: it writes
//! what a test asks for, also what no client would send, and reads what a server may send.

mod packet;
mod property;
mod version;

pub use packet::{Publish, Received, take};
pub use property::{Properties, Value, id};
pub use version::Version;

use property::{put_text, put_var};

/// What a client says in its CONNECT.
#[derive(Debug, Clone)]
pub struct Connect {
    /// MQTT 3.1.1 or 5.
    pub version: Version,
    /// As it goes out.
    pub client_id: String,
    /// Absent: no user name flag.
    pub user_name: Option<String>,
    /// Absent: no password flag.
    pub password: Option<String>,
    /// Clean session or clean start.
    pub clean: bool,
    /// Seconds.
    pub keep_alive_s: u16,
    /// MQTT 5's properties.
    pub properties: Properties,
    /// The last will.
    pub will: Option<Will>,
}

/// A last will.
#[derive(Debug, Clone, Default)]
pub struct Will {
    /// Where it goes.
    pub topic: String,
    /// What it says.
    pub payload: Vec<u8>,
    /// 0 or 1.
    pub qos: u8,
    /// MQTT 5's properties, the delay among them.
    pub properties: Properties,
}

/// One packet: the first byte, the remaining length, the rest.
#[must_use]
pub fn frame(first: u8, rest: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    put_var(&mut out, u32::try_from(rest.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(rest);
    out
}

/// CONNECT.
#[must_use]
pub fn connect(c: &Connect) -> Vec<u8> {
    let mut rest = Vec::new();
    put_text(&mut rest, b"MQTT");
    rest.push(if c.version == Version::V5 { 5 } else { 4 });
    let mut flags = u8::from(c.clean) << 1;
    if let Some(will) = &c.will {
        flags |= 0b100 | (will.qos << 3);
    }
    flags |= u8::from(c.user_name.is_some()) << 7;
    flags |= u8::from(c.password.is_some()) << 6;
    rest.push(flags);
    rest.extend_from_slice(&c.keep_alive_s.to_be_bytes());
    if c.version == Version::V5 {
        c.properties.write(&mut rest);
    }
    put_text(&mut rest, c.client_id.as_bytes());
    if let Some(will) = &c.will {
        if c.version == Version::V5 {
            will.properties.write(&mut rest);
        }
        put_text(&mut rest, will.topic.as_bytes());
        put_text(&mut rest, &will.payload);
    }
    for text in [&c.user_name, &c.password].into_iter().flatten() {
        put_text(&mut rest, text.as_bytes());
    }
    frame(0x10, &rest)
}

/// PUBLISH. `packet_id` is written when `qos` is above 0.
#[must_use]
pub fn publish(version: Version, p: &Publish) -> Vec<u8> {
    let mut rest = Vec::with_capacity(p.payload.len() + p.topic.len() + 16);
    put_text(&mut rest, p.topic.as_bytes());
    if p.qos > 0 {
        rest.extend_from_slice(&p.packet_id.to_be_bytes());
    }
    if version == Version::V5 {
        p.properties.write(&mut rest);
    }
    rest.extend_from_slice(&p.payload);
    let first = 0x30 | (u8::from(p.dup) << 3) | (p.qos << 1) | u8::from(p.retain);
    frame(first, &rest)
}

/// SUBSCRIBE: filters with their options byte.
#[must_use]
pub fn subscribe(version: Version, packet_id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut rest = packet_id.to_be_bytes().to_vec();
    if version == Version::V5 {
        rest.push(0);
    }
    for (filter, options) in filters {
        put_text(&mut rest, filter.as_bytes());
        rest.push(*options);
    }
    frame(0x82, &rest)
}

/// UNSUBSCRIBE.
#[must_use]
pub fn unsubscribe(version: Version, packet_id: u16, filters: &[&str]) -> Vec<u8> {
    let mut rest = packet_id.to_be_bytes().to_vec();
    if version == Version::V5 {
        rest.push(0);
    }
    for filter in filters {
        put_text(&mut rest, filter.as_bytes());
    }
    frame(0xA2, &rest)
}

/// PUBACK, bare.
#[must_use]
pub fn puback(packet_id: u16) -> Vec<u8> {
    frame(0x40, &packet_id.to_be_bytes())
}

/// PINGREQ.
#[must_use]
pub fn pingreq() -> Vec<u8> {
    frame(0xC0, &[])
}

/// DISCONNECT. With MQTT 3.1.1 the code has no place.
#[must_use]
pub fn disconnect(version: Version, code: u8) -> Vec<u8> {
    match (version, code) {
        (Version::V3, _) | (Version::V5, 0) => frame(0xE0, &[]),
        (Version::V5, code) => frame(0xE0, &[code]),
    }
}

/// AUTH (5).
#[must_use]
pub fn auth(code: u8, properties: &Properties) -> Vec<u8> {
    let mut rest = vec![code];
    properties.write(&mut rest);
    frame(0xF0, &rest)
}
