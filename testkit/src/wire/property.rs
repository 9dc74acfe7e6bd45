//! MQTT 5 properties, kept as they come.

/// Property identifiers that tests name.
pub mod id {
    #![allow(missing_docs)]
    pub const EXPIRY: u8 = 0x02;
    pub const CORRELATION_DATA: u8 = 0x09;
    pub const RESPONSE_TOPIC: u8 = 0x08;
    pub const SESSION_EXPIRY: u8 = 0x11;
    pub const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub const REQUEST_PROBLEM: u8 = 0x17;
    pub const WILL_DELAY: u8 = 0x18;
    pub const REASON: u8 = 0x1F;
    pub const RECEIVE_MAX: u8 = 0x21;
    pub const TOPIC_ALIAS_MAX: u8 = 0x22;
    pub const TOPIC_ALIAS: u8 = 0x23;
    pub const USER: u8 = 0x26;
    pub const PACKET_MAX: u8 = 0x27;
}

/// What a property holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// One byte.
    Byte(u8),
    /// Two bytes.
    Two(u16),
    /// Four bytes.
    Four(u32),
    /// A variable byte integer.
    Var(u32),
    /// A string or binary data.
    Text(Vec<u8>),
    /// A pair of strings.
    Pair(String, String),
}

/// The properties of a packet, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(pub Vec<(u8, Value)>);

impl Properties {
    /// None.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// With one more.
    #[must_use]
    pub fn with(mut self, id: u8, value: Value) -> Self {
        self.0.push((id, value));
        self
    }

    /// With one more user property.
    #[must_use]
    pub fn with_user(self, name: &str, value: &str) -> Self {
        self.with(id::USER, Value::Pair(name.to_owned(), value.to_owned()))
    }

    /// The first value of the property `id`.
    #[must_use]
    pub fn get(&self, id: u8) -> Option<&Value> {
        self.0.iter().find(|(i, _)| *i == id).map(|(_, value)| value)
    }

    /// The first value of the property `id` as a number.
    #[must_use]
    pub fn number(&self, id: u8) -> Option<u32> {
        match self.get(id)? {
            Value::Byte(n) => Some(u32::from(*n)),
            Value::Two(n) => Some(u32::from(*n)),
            Value::Four(n) | Value::Var(n) => Some(*n),
            Value::Text(_) | Value::Pair(..) => None,
        }
    }

    /// The first value of the property `id` as a text.
    #[must_use]
    pub fn text(&self, id: u8) -> Option<&str> {
        match self.get(id)? {
            Value::Text(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// The first user property of this name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|(_, value)| match value {
            Value::Pair(n, value) if n == name => Some(value.as_str()),
            _ => None,
        })
    }

    /// Appends length and properties.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        for (id, value) in &self.0 {
            body.push(*id);
            match value {
                Value::Byte(n) => body.push(*n),
                Value::Two(n) => body.extend_from_slice(&n.to_be_bytes()),
                Value::Four(n) => body.extend_from_slice(&n.to_be_bytes()),
                Value::Var(n) => put_var(&mut body, *n),
                Value::Text(text) => put_text(&mut body, text),
                Value::Pair(name, value) => {
                    put_text(&mut body, name.as_bytes());
                    put_text(&mut body, value.as_bytes());
                }
            }
        }
        put_var(out, u32::try_from(body.len()).unwrap_or(u32::MAX));
        out.extend_from_slice(&body);
    }

    /// Reads length and properties. `None`: not what the standard says.
    pub(super) fn read(from: &mut &[u8]) -> Option<Self> {
        let len = take_var(from)? as usize;
        let mut body = from.get(..len)?;
        *from = &from[len..];
        let mut found = Self::none();
        while !body.is_empty() {
            let id = take_bytes(&mut body, 1)?[0];
            let value = match id {
                0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => {
                    Value::Byte(take_bytes(&mut body, 1)?[0])
                }
                0x13 | 0x21 | 0x22 | 0x23 => Value::Two(take_two(&mut body)?),
                0x02 | 0x11 | 0x18 | 0x27 => {
                    Value::Four(u32::from_be_bytes(take_bytes(&mut body, 4)?.try_into().ok()?))
                }
                0x0B => Value::Var(take_var(&mut body)?),
                0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1A | 0x1C | 0x1F => {
                    Value::Text(take_text(&mut body)?.to_vec())
                }
                0x26 => {
                    let name = String::from_utf8(take_text(&mut body)?.to_vec()).ok()?;
                    Value::Pair(name, String::from_utf8(take_text(&mut body)?.to_vec()).ok()?)
                }
                _ => return None,
            };
            found.0.push((id, value));
        }
        Some(found)
    }
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text);
}

pub(super) fn put_var(out: &mut Vec<u8>, mut n: u32) {
    while n >= 0x80 {
        out.push(0x80 | n.to_le_bytes()[0] & 0x7F);
        n >>= 7;
    }
    out.push(n.to_le_bytes()[0]);
}

/// A variable byte integer from the front.
pub(super) fn take_var(from: &mut &[u8]) -> Option<u32> {
    let mut n = 0;
    for place in 0..4 {
        let byte = take_bytes(from, 1)?[0];
        n |= u32::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

pub(super) fn take_bytes<'a>(from: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let taken = from.get(..len)?;
    *from = &from[len..];
    Some(taken)
}

pub(super) fn take_two(from: &mut &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(take_bytes(from, 2)?.try_into().ok()?))
}

pub(super) fn take_text<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take_two(from)?;
    take_bytes(from, usize::from(len))
}
