//! The codec of one connection, which speaks the version that its CONNECT names.

use bytes::{Buf, BytesMut};
use godwit_core::edge::{Code, Version};
use tokio_util::codec::{Decoder, Encoder};

use super::packet::{Error, INEXPRESSIBLE, MQTT_BYTES_MAX, Packet, TOO_LARGE, v3, v5};
use super::strict::{self, Mend, kind};
use super::{direct, reader};
use crate::limits::CONNECT_BYTES_MAX;

/// One connection's codec. It begins by detecting the version from the CONNECT; 12 bytes.
#[derive(Debug)]
pub(crate) struct Codec {
    /// Inbound, header included, after CONNECT.
    pub(super) inbound_bytes_max: u32,
    /// Outbound, header included: MQTT 5's Maximum Packet Size of the client.
    pub(super) outbound_bytes_max: u32,
    /// `None` until a CONNECT was decoded.
    pub(super) version: Option<Version>,
    /// MQTT 5's Request Problem Information.
    pub(super) problem_info: bool,
}

impl Codec {
    /// A codec that waits for a CONNECT (of at most [`CONNECT_BYTES_MAX`]) and then takes packets
    /// of at most `inbound_bytes_max`, header included.
    pub(crate) const fn new(inbound_bytes_max: u32) -> Self {
        Self { inbound_bytes_max, outbound_bytes_max: u32::MAX, version: None, problem_info: true }
    }

    /// The version, once a CONNECT was decoded.
    pub(crate) const fn version(&self) -> Option<Version> {
        self.version
    }

    /// Whether the client wants reason strings and user properties on other packets than PUBLISH,
    /// CONNACK and DISCONNECT. [`Codec::encode`] and [`Codec::encode_puback`] obey it by
    /// themselves.
    pub(crate) const fn problem_info(&self) -> bool {
        self.problem_info
    }

    /// Takes one packet off the front of `src`; `Ok(None)`: more bytes are needed.
    ///
    /// The first packet is a CONNECT; no later one is, and none is of a kind that only servers
    /// send. Whatever can be judged by the bytes at hand is judged at once, so that nothing is
    /// awaited of a packet that will be refused. After an error the connection must end; `src` is
    /// then as it was. Nothing is ever allocated by a declared length. Never panics.
    pub(crate) fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Packet>, Error> {
        let Some(&first) = src.first() else { return Ok(None) };
        let max = match self.version {
            Some(version) => {
                strict::first_byte(first, version)?;
                self.inbound_bytes_max as usize
            }
            None if first & 0xF0 != kind::CONNECT => {
                return Err(Error::protocol("the first packet is no CONNECT")); // [MQTT-3.1.0-1]
            }
            None if first != kind::CONNECT => {
                return Err(Error::malformed("reserved flags of a header"));
            }
            None => CONNECT_BYTES_MAX,
        };
        let Some((len, digits)) = reader::variable(&src[1..])? else { return Ok(None) };
        let header = 1 + digits;
        let total = header + len as usize;
        let too_large = Error::new(Code::PACKET_TOO_LARGE, "the packet is too large");
        if total > max && self.version.is_some() {
            return Err(too_large);
        }
        let available = &src[header..total.min(src.len())];
        let version = match self.version {
            Some(version) => version,
            None => match detect(available, len as usize)? {
                Some(version) => version,
                None => return Ok(None),
            },
        };
        if total > max {
            // The first bytes suffice for an answer.
            return Err(too_large.in_connect(version));
        }
        if src.len() < total {
            return Ok(None);
        }
        let decoded = strict::check(first, available, version)
            .and_then(|mend| build(&src[..total], header, version, &mend));
        let packet = match self.version {
            Some(_) => decoded?,
            None => decoded.map_err(|e| e.in_connect(version))?,
        };
        src.advance(total);
        self.learn(version, &packet);
        Ok(Some(packet))
    }

    fn learn(&mut self, version: Version, packet: &Packet) {
        self.version = Some(version);
        if let Packet::V5(v5::Packet::Connect(connect)) = packet {
            self.problem_info = connect.request_problem_info;
            if let Some(max) = connect.max_packet_size {
                self.outbound_bytes_max = max.get();
            }
        }
    }

    /// Appends a packet of either version (the caller answers in the client's).
    ///
    /// An acknowledgement, CONNACK or DISCONNECT that is larger than the client's Maximum Packet
    /// Size is sent without its reason string and user properties. `[MQTT-3.2.2-19] ff.` Error:
    /// it is too large even so (0x95), or cannot be expressed; `dst` is then as it was.
    pub(crate) fn encode(
        &self,
        packet: impl Into<Packet>,
        dst: &mut BytesMut,
    ) -> Result<(), Error> {
        let start = dst.len();
        let max = (self.outbound_bytes_max as usize).min(MQTT_BYTES_MAX);
        let result = match packet.into() {
            Packet::V3(packet) => write_v3(packet, dst),
            Packet::V5(mut packet) => {
                if !self.problem_info {
                    strip_acknowledgement(&mut packet);
                }
                write_v5_within(packet, dst, max)
            }
        };
        let result =
            result.and_then(|()| if dst.len() - start > max { Err(TOO_LARGE) } else { Ok(()) });
        if result.is_err() {
            dst.truncate(start);
        }
        result
    }
}

/// Finds the version in what there is of a CONNECT's body, or refuses at the first wrong byte.
fn detect(body: &[u8], len: usize) -> Result<Option<Version>, Error> {
    const NAME: &[u8] = b"\0\x04MQTT";
    let unsupported = |version| {
        Err(Error::new(Code::UNSUPPORTED_VERSION, "neither MQTT 3.1.1 nor MQTT 5")
            .in_connect(version))
    };
    if len <= NAME.len() {
        return Err(Error::malformed("the packet ends too early"));
    }
    let shared = body.len().min(NAME.len());
    if body[..shared] != NAME[..shared] {
        // MQTT 3.1's name leads to an answer that its clients understand; another is no MQTT.
        const OLD: &[u8] = b"\0\x06MQIsdp";
        let shared = body.len().min(OLD.len());
        return if body[..shared] != OLD[..shared] {
            Err(Error::new(Code::UNSUPPORTED_VERSION, "the protocol's name is not MQTT"))
        } else if shared == OLD.len() || len < OLD.len() {
            unsupported(Version::V3)
        } else {
            Ok(None)
        };
    }
    match body.get(NAME.len()) {
        None => Ok(None),
        Some(4) => Ok(Some(Version::V3)),
        Some(5) => Ok(Some(Version::V5)),
        Some(0..=3) => unsupported(Version::V3),
        Some(_) => unsupported(Version::V5),
    }
}

/// Builds a packet of the library's types from a whole one that [`strict::check`] has let through.
fn build(frame: &[u8], header: usize, version: Version, mend: &Mend) -> Result<Packet, Error> {
    if let Some(packet) = direct::build(frame[0], &frame[header..], version) {
        return Ok(packet);
    }
    // Spare room for the library's `reserve` after a packet, which else allocates once more.
    let mut copy = BytesMut::with_capacity(frame.len() + 8);
    copy.extend_from_slice(frame);
    if let Some(at) = mend.zero_expiry_at {
        copy[header + at + 3] = 1;
    }
    if let Some(at) = mend.clean_start_at {
        copy[header + at] |= 0x02;
    }
    let defect = Error::malformed("the library refuses a packet that is well-formed");
    match version {
        Version::V3 => match v3::Codec::new(0).decode(&mut copy) {
            Ok(Some((packet, _))) => Ok(Packet::V3(packet)),
            _ => Err(defect),
        },
        Version::V5 => match v5::Codec::new(0, 0).decode(&mut copy) {
            Ok(Some((mut packet, _))) => {
                if let (v5::Packet::Connect(connect), Some(_)) = (&mut packet, mend.clean_start_at)
                {
                    connect.clean_start = false;
                }
                Ok(Packet::V5(packet))
            }
            _ => Err(defect),
        },
    }
}

fn write_v3(packet: v3::Packet, dst: &mut BytesMut) -> Result<(), Error> {
    v3::Codec::new(0).encode(packet, dst).map_err(|_| INEXPRESSIBLE)
}

fn write_v5(packet: v5::Packet, dst: &mut BytesMut) -> Result<(), Error> {
    v5::Codec::new(0, 0).encode(packet, dst).map_err(|_| INEXPRESSIBLE)
}

/// Writes the packet, or what is left of it without its diagnostics when it is larger than `max`.
fn write_v5_within(packet: v5::Packet, dst: &mut BytesMut, max: usize) -> Result<(), Error> {
    if max >= MQTT_BYTES_MAX {
        return write_v5(packet, dst);
    }
    let (start, mut bare) = (dst.len(), packet.clone());
    write_v5(packet, dst)?;
    if dst.len() - start > max && strip(&mut bare) {
        dst.truncate(start);
        return write_v5(bare, dst);
    }
    Ok(())
}

/// Removes what Request Problem Information 0 forbids. `[MQTT-3.1.2-29]`
fn strip_acknowledgement(packet: &mut v5::Packet) {
    if !matches!(packet, v5::Packet::ConnectAck(_) | v5::Packet::Disconnect(_)) {
        strip(packet);
    }
}

/// Removes reason string and user properties; false when the packet has no such thing.
fn strip(packet: &mut v5::Packet) -> bool {
    use v5::Packet as P;
    let (reason, user) = match packet {
        P::ConnectAck(p) => (&mut p.reason_string, &mut p.user_properties),
        P::PublishAck(p) | P::PublishReceived(p) => (&mut p.reason_string, &mut p.properties),
        P::PublishRelease(p) | P::PublishComplete(p) => (&mut p.reason_string, &mut p.properties),
        P::SubscribeAck(p) => (&mut p.reason_string, &mut p.properties),
        P::UnsubscribeAck(p) => (&mut p.reason_string, &mut p.properties),
        P::Disconnect(p) => (&mut p.reason_string, &mut p.user_properties),
        P::Auth(p) => (&mut p.reason_string, &mut p.user_properties),
        _ => return false,
    };
    *reason = None;
    user.clear();
    true
}
