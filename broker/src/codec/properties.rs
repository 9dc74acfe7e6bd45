//! MQTT 5's properties: which packet may carry which, once, with which values.

use super::packet::Error;
use super::reader::Reader;
use super::topic::topic_name;
use crate::limits::{USER_PROPERTIES_BYTES_MAX, USER_PROPERTIES_MAX};
use godwit_core::edge::Code;

pub(super) const PAYLOAD_FORMAT: u8 = 0x01;
pub(super) const MESSAGE_EXPIRY: u8 = 0x02;
pub(super) const CONTENT_TYPE: u8 = 0x03;
pub(super) const RESPONSE_TOPIC: u8 = 0x08;
pub(super) const CORRELATION_DATA: u8 = 0x09;
pub(super) const SUBSCRIPTION_ID: u8 = 0x0B;
pub(super) const SESSION_EXPIRY: u8 = 0x11;
pub(super) const AUTH_METHOD: u8 = 0x15;
pub(super) const AUTH_DATA: u8 = 0x16;
pub(super) const REQUEST_PROBLEM_INFO: u8 = 0x17;
pub(super) const WILL_DELAY: u8 = 0x18;
pub(super) const REQUEST_RESPONSE_INFO: u8 = 0x19;
pub(super) const REASON_STRING: u8 = 0x1F;
pub(super) const RECEIVE_MAX: u8 = 0x21;
pub(super) const TOPIC_ALIAS_MAX: u8 = 0x22;
pub(super) const TOPIC_ALIAS: u8 = 0x23;
pub(super) const USER: u8 = 0x26;
pub(super) const PACKET_SIZE_MAX: u8 = 0x27;

/// A set of property identifiers, all of which are below 64.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed(u64);

impl Allowed {
    const fn of(ids: &[u8]) -> Self {
        let (mut set, mut index) = (0, 0);
        while index < ids.len() {
            set |= 1 << ids[index];
            index += 1;
        }
        Self(set)
    }

    pub(super) const CONNECT: Self = Self::of(&[
        SESSION_EXPIRY,
        AUTH_METHOD,
        AUTH_DATA,
        REQUEST_PROBLEM_INFO,
        REQUEST_RESPONSE_INFO,
        RECEIVE_MAX,
        TOPIC_ALIAS_MAX,
        USER,
        PACKET_SIZE_MAX,
    ]);
    pub(super) const WILL: Self = Self::of(&[
        WILL_DELAY,
        PAYLOAD_FORMAT,
        MESSAGE_EXPIRY,
        CONTENT_TYPE,
        RESPONSE_TOPIC,
        CORRELATION_DATA,
        USER,
    ]);
    /// A client's PUBLISH: the standard forbids it the subscription identifier, which stands here
    /// only so that the refusal can be a protocol error. `[MQTT-3.3.4-6]`
    pub(super) const PUBLISH: Self = Self::of(&[
        PAYLOAD_FORMAT,
        MESSAGE_EXPIRY,
        CONTENT_TYPE,
        RESPONSE_TOPIC,
        CORRELATION_DATA,
        SUBSCRIPTION_ID,
        TOPIC_ALIAS,
        USER,
    ]);
    pub(super) const ACK: Self = Self::of(&[REASON_STRING, USER]);
    pub(super) const SUBSCRIBE: Self = Self::of(&[SUBSCRIPTION_ID, USER]);
    pub(super) const UNSUBSCRIBE: Self = Self::of(&[USER]);
    pub(super) const DISCONNECT: Self = Self::of(&[SESSION_EXPIRY, REASON_STRING, USER]);
    pub(super) const AUTH: Self = Self::of(&[AUTH_METHOD, AUTH_DATA, REASON_STRING, USER]);
}

/// Which properties there were.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ids: u64,
    /// Where a message expiry of 0 stands; see [`super::strict::Mend`].
    pub(super) zero_expiry_at: Option<usize>,
    /// The sender says that the payload is UTF-8.
    pub(super) payload_is_utf8: bool,
    user_count: usize,
    user_bytes: usize,
}

impl Seen {
    pub(super) const fn has(&self, id: u8) -> bool {
        self.ids & (1 << id) != 0
    }
}

/// Walks a property list with its length in front.
pub(super) fn walk(reader: &mut Reader<'_>, allowed: Allowed) -> Result<Seen, Error> {
    let len = reader.variable()? as usize;
    let mut list = reader.part(len)?;
    let mut seen = Seen::default();
    while !list.is_empty() {
        let id = list.u8()?;
        if id >= 64 || allowed.0 & (1 << id) == 0 {
            return Err(Error::malformed("a property does not belong into this packet"));
        }
        if id != USER && seen.has(id) {
            return Err(Error::protocol("a property stands twice"));
        }
        seen.ids |= 1 << id;
        value(&mut list, id, &mut seen)?;
    }
    Ok(seen)
}

fn value(list: &mut Reader<'_>, id: u8, seen: &mut Seen) -> Result<(), Error> {
    match id {
        PAYLOAD_FORMAT | REQUEST_PROBLEM_INFO | REQUEST_RESPONSE_INFO => {
            let value = list.u8()?;
            if value > 1 {
                return Err(Error::protocol("a property is neither 0 nor 1"));
            }
            seen.payload_is_utf8 |= id == PAYLOAD_FORMAT && value == 1;
        }
        MESSAGE_EXPIRY => {
            let at = list.at();
            if list.u32()? == 0 {
                seen.zero_expiry_at = Some(at);
            }
        }
        SESSION_EXPIRY | WILL_DELAY => {
            list.u32()?;
        }
        PACKET_SIZE_MAX => {
            if list.u32()? == 0 {
                return Err(Error::protocol("Maximum Packet Size is 0"));
            }
        }
        RECEIVE_MAX => {
            if list.u16()? == 0 {
                return Err(Error::protocol("Receive Maximum is 0"));
            }
        }
        TOPIC_ALIAS => {
            if list.u16()? == 0 {
                return Err(Error::new(Code::TOPIC_ALIAS_INVALID, "the topic alias is 0"));
            }
        }
        TOPIC_ALIAS_MAX => {
            list.u16()?;
        }
        SUBSCRIPTION_ID => {
            if list.variable()? == 0 {
                return Err(Error::protocol("the subscription identifier is 0"));
            }
        }
        RESPONSE_TOPIC => topic_name(list.string()?)?,
        CONTENT_TYPE | AUTH_METHOD | REASON_STRING => {
            list.string()?;
        }
        CORRELATION_DATA | AUTH_DATA => {
            list.binary()?;
        }
        // `Allowed` lets no other through: this is a user property.
        _ => {
            seen.user_count += 1;
            seen.user_bytes += list.string()?.len() + list.string()?.len();
            if seen.user_count > USER_PROPERTIES_MAX || seen.user_bytes > USER_PROPERTIES_BYTES_MAX
            {
                return Err(Error::new(Code::QUOTA_EXCEEDED, "too many user properties"));
            }
        }
    }
    Ok(())
}
