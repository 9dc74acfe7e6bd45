//! Bytes to packets and back (stage 2), for both versions of MQTT on one port.
//!
//! The types and the bulk of the work are the library's (`rmqtt-codec`); `strict` refuses what it
//! lets through, `direct` builds and `fast` writes the few packets that most are.
//! docs/adr/0001 says why.
//!
//! A decoded packet owns its bytes: its frame is copied once out of the read buffer, at its exact
//! size, and every string and payload of the packet shares that copy. So the read buffer is never
//! pinned and can be shared by all connections of a thread, and a payload may be kept as it is
//! (at most, it keeps its own packet's topic and properties alive).

mod direct;
mod either;
mod fast;
mod packet;
#[cfg(feature = "codec-table")]
pub mod probe;
mod properties;
mod reader;
mod strict;
#[cfg(test)]
mod tests;
mod topic;

pub(crate) use either::Codec;
pub(crate) use fast::Outgoing;
pub(crate) use packet::{Packet, v3, v5};
