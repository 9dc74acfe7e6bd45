//! Reads MQTT's data types from borrowed bytes, strictly, without allocating.

use super::packet::Error;

/// A place in the body of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    /// A reader of the next `len` bytes, which counts its places from the same beginning.
    pub(super) fn part(&mut self, len: usize) -> Result<Self, Error> {
        let at = self.at;
        Ok(Self { rest: self.take(len)?, at })
    }

    /// How many bytes lie between the beginning and here.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// What has not been read.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes `len` bytes; error: there are fewer.
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) =
            self.rest.split_at_checked(len).ok_or(Error::malformed("the packet ends too early"))?;
        self.rest = rest;
        self.at += len;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Error> {
        self.take(1).map(|b| b[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, Error> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        self.take(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// A variable byte integer of at most four bytes, in the shortest form. `[MQTT-1.5.5-1]`
    pub(super) fn variable(&mut self) -> Result<u32, Error> {
        let (value, len) =
            variable(self.rest)?.ok_or(Error::malformed("the packet ends too early"))?;
        self.take(len)?;
        Ok(value)
    }

    pub(super) fn binary(&mut self) -> Result<&'a [u8], Error> {
        let len = self.u16()?;
        self.take(len.into())
    }

    /// A UTF-8 string without U+0000. `[MQTT-1.5.4-1] [MQTT-1.5.4-2]`
    pub(super) fn string(&mut self) -> Result<&'a str, Error> {
        let bytes = self.binary()?;
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Error::malformed("a string is not valid UTF-8"))?;
        if bytes.contains(&0) {
            return Err(Error::malformed("a string holds U+0000"));
        }
        Ok(text)
    }

    /// Error: something is left.
    pub(super) fn end(&self) -> Result<(), Error> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Error::malformed("the packet is longer than its fields"))
        }
    }
}

/// Reads a variable byte integer: its value and length, or `None` while bytes are missing.
pub(super) fn variable(bytes: &[u8]) -> Result<Option<(u32, usize)>, Error> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            if *byte == 0 && index > 0 {
                return Err(Error::malformed("a length is not in its shortest form"));
            }
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() < 4 {
        Ok(None)
    } else {
        Err(Error::malformed("a length is longer than four bytes"))
    }
}
