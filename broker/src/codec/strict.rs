//! What the library lets through although MQTT (or our own bounds) forbid it, and the reverse.
//!
//! [`check`] walks a whole packet without allocating, before the library builds its types from
//! it. It is complete on its own: a packet that it accepts is well-formed, so that an error of the
//! library after it is a defect, not input. Refusals name the code of a DISCONNECT (or CONNACK).

use godwit_core::edge::{Code, Version};

use super::packet::Error;
use super::properties::{self, Allowed};
use super::reader::Reader;
use super::topic::{topic_filter, topic_name};
use crate::limits::FILTERS_MAX;

/// What the library refuses although it is legal. The codec changes its copy of the packet before
/// the library sees it, and the result after.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mend {
    /// Where in the body a message expiry of 0 stands. It is read as 1: a second is as good as
    /// none, and the standard does not forbid it.
    pub(super) zero_expiry_at: Option<usize>,
    /// Where in the body the connect flags stand, when MQTT 5's client wants its old session
    /// under an id that the server assigns. `[MQTT-3.1.3-6]`
    pub(super) clean_start_at: Option<usize>,
}

/// The first byte of the packets that clients send, flags included where they are fixed.
pub(super) mod kind {
    pub(in crate::codec) const CONNECT: u8 = 0x10;
    pub(in crate::codec) const PUBLISH: u8 = 0x30;
    pub(in crate::codec) const PUBACK: u8 = 0x40;
    pub(in crate::codec) const PUBREC: u8 = 0x50;
    pub(in crate::codec) const PUBREL: u8 = 0x62;
    pub(in crate::codec) const PUBCOMP: u8 = 0x70;
    pub(in crate::codec) const SUBSCRIBE: u8 = 0x82;
    pub(in crate::codec) const UNSUBSCRIBE: u8 = 0xA2;
    pub(in crate::codec) const PINGREQ: u8 = 0xC0;
    pub(in crate::codec) const DISCONNECT: u8 = 0xE0;
    pub(in crate::codec) const AUTH: u8 = 0xF0;
}

/// Judges a first byte after CONNECT, so that nothing is awaited of a packet that cannot be.
pub(super) fn first_byte(first: u8, version: Version) -> Result<(), Error> {
    let known = match first & 0xF0 {
        kind::PUBLISH => {
            let qos = first >> 1 & 0b11;
            if qos == 3 {
                return Err(Error::malformed("QoS 3")); // [MQTT-3.3.1-4]
            }
            if qos == 0 && first & 0b1000 != 0 {
                return Err(Error::malformed("DUP with QoS 0")); // [MQTT-3.3.1-2]
            }
            return Ok(());
        }
        kind::CONNECT => return Err(Error::protocol("a second CONNECT")), // [MQTT-3.1.0-2]
        0x20 | 0x90 | 0xB0 | 0xD0 => {
            return Err(Error::protocol("a packet that only servers send"));
        }
        0x00 => return Err(Error::malformed("a packet of type 0")),
        kind::AUTH if version == Version::V3 => {
            return Err(Error::malformed("a packet of type 15"));
        }
        0x60 => kind::PUBREL,
        0x80 => kind::SUBSCRIBE,
        0xA0 => kind::UNSUBSCRIBE,
        known => known,
    };
    if first == known {
        Ok(())
    } else {
        Err(Error::malformed("reserved flags of a header")) // [MQTT-2.1.3-1]
    }
}

/// Judges the body of a packet whose first byte [`first_byte`] let through, or of a CONNECT.
pub(super) fn check(first: u8, body: &[u8], version: Version) -> Result<Mend, Error> {
    let mut reader = Reader::new(body);
    let v5 = version == Version::V5;
    match first {
        kind::CONNECT => return connect(&mut reader, v5),
        kind::PUBACK | kind::PUBREC | kind::PUBREL | kind::PUBCOMP => {
            ack(first, &mut reader, v5)?;
        }
        kind::SUBSCRIBE => subscribe(&mut reader, v5)?,
        kind::UNSUBSCRIBE => unsubscribe(&mut reader, v5)?,
        kind::PINGREQ => {}
        kind::DISCONNECT => disconnect(&mut reader, v5)?,
        kind::AUTH => auth(&mut reader)?,
        _ => return publish(first, &mut reader, v5),
    }
    reader.end()?;
    Ok(Mend::default())
}

fn connect(reader: &mut Reader<'_>, v5: bool) -> Result<Mend, Error> {
    reader.take(7)?; // The protocol's name and level, judged by `detect` already.
    let flags_at = reader.at();
    let flags = reader.u8()?;
    let has = |bit: u8| flags & bit != 0;
    let (clean, will, will_qos) = (has(0x02), has(0x04), flags >> 3 & 0b11);
    if has(0x01) {
        return Err(Error::malformed("the reserved flag of CONNECT")); // [MQTT-3.1.2-3]
    }
    if will_qos == 3 || (!will && flags & 0b0011_1000 != 0) {
        return Err(Error::malformed("the will's flags contradict")); // [MQTT-3.1.2-11] to 15
    }
    if !v5 && has(0x40) && !has(0x80) {
        return Err(Error::malformed("a password without a user name")); // 3.1.1: [MQTT-3.1.2-22]
    }
    reader.u16()?; // Keep alive.
    let mut mend = Mend::default();
    if v5 {
        let seen = properties::walk(reader, Allowed::CONNECT)?;
        if seen.has(properties::AUTH_DATA) && !seen.has(properties::AUTH_METHOD) {
            return Err(Error::protocol("authentication data without a method"));
        }
    }
    if reader.string()?.is_empty() && !clean {
        if !v5 {
            // [MQTT-3.1.3-8]
            return Err(Error::new(Code::CLIENT_ID_INVALID, "a kept session without a client id"));
        }
        mend.clean_start_at = Some(flags_at);
    }
    if will {
        let mut is_utf8 = false;
        if v5 {
            let seen = properties::walk(reader, Allowed::WILL)?;
            mend.zero_expiry_at = seen.zero_expiry_at;
            is_utf8 = seen.payload_is_utf8;
        }
        topic_name(reader.string()?)?;
        payload(reader.binary()?, is_utf8)?;
    }
    if has(0x80) {
        reader.string()?;
    }
    if has(0x40) {
        reader.binary()?;
    }
    reader.end()?;
    Ok(mend)
}

fn publish(first: u8, reader: &mut Reader<'_>, v5: bool) -> Result<Mend, Error> {
    let topic = reader.string()?;
    if first & 0b0110 != 0 {
        packet_id(reader)?;
    }
    if !v5 {
        topic_name(topic)?;
        return Ok(Mend::default());
    }
    let seen = properties::walk(reader, Allowed::PUBLISH)?;
    if seen.has(properties::SUBSCRIPTION_ID) {
        return Err(Error::protocol("a client's PUBLISH with a subscription identifier"));
    }
    if !topic.is_empty() {
        topic_name(topic)?;
    } else if !seen.has(properties::TOPIC_ALIAS) {
        return Err(Error::protocol("neither a topic nor an alias")); // [MQTT-3.3.2-8]
    }
    payload(reader.rest(), seen.payload_is_utf8)?;
    Ok(Mend { zero_expiry_at: seen.zero_expiry_at, clean_start_at: None })
}

fn payload(bytes: &[u8], is_utf8: bool) -> Result<(), Error> {
    if is_utf8 && std::str::from_utf8(bytes).is_err() {
        return Err(Error::new(Code::PAYLOAD_INVALID, "a payload said to be UTF-8 is not"));
    }
    Ok(())
}

fn ack(first: u8, reader: &mut Reader<'_>, v5: bool) -> Result<(), Error> {
    packet_id(reader)?;
    if !v5 || reader.is_empty() {
        return Ok(());
    }
    let code = reader.u8()?;
    let known = match first {
        kind::PUBACK | kind::PUBREC => {
            matches!(code, 0 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
        }
        _ => matches!(code, 0 | 0x92),
    };
    if !known {
        return Err(Error::malformed("a reason code that this packet does not have"));
    }
    if !reader.is_empty() {
        properties::walk(reader, Allowed::ACK)?;
    }
    Ok(())
}

fn subscribe(reader: &mut Reader<'_>, v5: bool) -> Result<(), Error> {
    packet_id(reader)?;
    if v5 {
        properties::walk(reader, Allowed::SUBSCRIBE)?;
    }
    filters(reader, |filter, reader| {
        let options = reader.u8()?;
        if options & if v5 { 0b1100_0000 } else { 0b1111_1100 } != 0 {
            return Err(Error::malformed("reserved bits of subscription options")); // [MQTT-3.8.3-5]
        }
        if options & 0b11 == 3 || options >> 4 == 3 {
            return Err(Error::protocol("subscription options out of range"));
        }
        if options & 0b100 != 0 && filter.starts_with("$share/") {
            return Err(Error::protocol("no-local on a shared subscription")); // [MQTT-3.8.3-4]
        }
        Ok(())
    })
}

fn unsubscribe(reader: &mut Reader<'_>, v5: bool) -> Result<(), Error> {
    packet_id(reader)?;
    if v5 {
        properties::walk(reader, Allowed::UNSUBSCRIBE)?;
    }
    filters(reader, |_, _| Ok(()))
}

/// Walks filters to the packet's end; there must be at least one. `[MQTT-3.8.3-2]`
fn filters<'a>(
    reader: &mut Reader<'a>,
    mut each: impl FnMut(&str, &mut Reader<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    if reader.is_empty() {
        return Err(Error::protocol("not one topic filter"));
    }
    let mut count = 0;
    while !reader.is_empty() {
        count += 1;
        if count > FILTERS_MAX {
            return Err(Error::new(Code::QUOTA_EXCEEDED, "too many topic filters"));
        }
        let filter = reader.string()?;
        topic_filter(filter)?;
        each(filter, reader)?;
    }
    Ok(())
}

fn disconnect(reader: &mut Reader<'_>, v5: bool) -> Result<(), Error> {
    if !v5 || reader.is_empty() {
        return Ok(());
    }
    let code = reader.u8()?;
    if !matches!(code, 0 | 4 | 0x80..=0x83 | 0x90 | 0x93..=0x99) {
        return Err(Error::protocol("a reason code that a client's DISCONNECT does not have"));
    }
    if !reader.is_empty() {
        properties::walk(reader, Allowed::DISCONNECT)?;
    }
    Ok(())
}

fn auth(reader: &mut Reader<'_>) -> Result<(), Error> {
    // A client continues (0x18) or begins anew (0x19); success (0x00) is the server's word.
    if reader.is_empty() || !matches!(reader.u8()?, 0x18 | 0x19) {
        return Err(Error::protocol("a reason code that a client's AUTH does not have"));
    }
    if !properties::walk(reader, Allowed::AUTH)?.has(properties::AUTH_METHOD) {
        return Err(Error::protocol("AUTH without a method"));
    }
    Ok(())
}

/// A packet identifier. `[MQTT-2.2.1-3]`
fn packet_id(reader: &mut Reader<'_>) -> Result<(), Error> {
    if reader.u16()? == 0 {
        return Err(Error::protocol("the packet identifier is 0"));
    }
    Ok(())
}
