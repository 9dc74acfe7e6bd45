//! The packets that come most, built without the library: PUBLISH without properties, a bare
//! PUBACK, PINGREQ.

use std::num::NonZeroU16;

use bytes::Bytes;
use bytestring::ByteString;
use godwit_core::edge::Version;
use rmqtt_codec::types::{Publish, QoS};

use super::packet::{Packet, v3, v5};
use super::reader::Reader;
use super::strict::kind;

/// Builds a packet that [`super::strict::check`] has let through. `None`: it is one of the others,
/// which the library builds.
///
/// Topic and payload are copies of their own, so that keeping one does not keep the other.
pub(super) fn build(first: u8, body: &[u8], version: Version) -> Option<Packet> {
    let is_v5 = version == Version::V5;
    match first {
        kind::PINGREQ if is_v5 => Some(v5::Packet::PingRequest.into()),
        kind::PINGREQ => Some(v3::Packet::PingRequest.into()),
        kind::PUBACK => {
            let packet_id = NonZeroU16::new(u16::from_be_bytes(body.try_into().ok()?))?;
            Some(if is_v5 {
                let ack = v5::PublishAck { packet_id, ..v5::PublishAck::default() };
                v5::Packet::PublishAck(ack).into()
            } else {
                v3::Packet::PublishAck { packet_id }.into()
            })
        }
        _ if first & 0xF0 == kind::PUBLISH => publish(first, body, is_v5),
        _ => None,
    }
}

fn publish(first: u8, body: &[u8], is_v5: bool) -> Option<Packet> {
    let mut reader = Reader::new(body);
    let topic = std::str::from_utf8(reader.binary().ok()?).ok()?;
    let (qos, packet_id) = match first >> 1 & 0b11 {
        0 => (QoS::AtMostOnce, None),
        qos => {
            let qos = if qos == 1 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            (qos, Some(NonZeroU16::new(reader.u16().ok()?)?))
        }
    };
    if is_v5 && reader.u8().ok()? != 0 {
        return None;
    }
    let publish = Box::new(Publish {
        dup: first & 0b1000 != 0,
        retain: first & 0b0001 != 0,
        qos,
        topic: ByteString::from(topic),
        packet_id,
        payload: Bytes::copy_from_slice(reader.rest()),
        properties: is_v5.then(v5::PublishProperties::default),
    });
    Some(if is_v5 {
        v5::Packet::Publish(publish).into()
    } else {
        v3::Packet::Publish(publish).into()
    })
}
