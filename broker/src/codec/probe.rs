//! The codec as `bench/examples/codecs.rs` measures it. No part of the crate's promise.

use std::num::NonZeroU16;

use bytes::BytesMut;
use godwit_core::edge::{Code, Qos};

use super::{Codec, Outgoing, Packet};

/// A codec with the default bound of packets.
#[derive(Debug)]
pub struct Probe(Codec);

/// A decoded packet, to be kept.
#[derive(Debug)]
pub struct Decoded(#[allow(dead_code)] Packet); // Only its memory is looked at.

impl Default for Probe {
    fn default() -> Self {
        Self(Codec::new(300 * 1024))
    }
}

impl Probe {
    /// See `Codec::decode`; the error is its reason code.
    pub fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Decoded>, u8> {
        self.0.decode(src).map(|packet| packet.map(Decoded)).map_err(|e| e.code.0)
    }

    /// Appends a PUBLISH of QoS 1; false: it does not fit.
    pub fn publish(&self, dst: &mut BytesMut, topic: &str, id: NonZeroU16, payload: &[u8]) -> bool {
        let publish = Outgoing {
            topic,
            alias: None,
            dup: false,
            qos: Qos::AtLeastOnce,
            retain: false,
            packet_id: Some(id),
            properties: None,
            expiry_s: None,
            identifier: None,
            payload,
        };
        self.0.encode_publish(dst, &publish).is_ok()
    }

    /// Appends a bare PUBACK; false: it does not fit.
    pub fn puback(&self, dst: &mut BytesMut, id: NonZeroU16) -> bool {
        self.0.encode_puback(dst, id, Code::SUCCESS, None, &[]).is_ok()
    }
}
