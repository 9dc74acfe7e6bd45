//! What stands in every body: who sent it, which one it is, and when it was due.

use std::time::{Duration, Instant};

/// The first 16 bytes of a body, big-endian; padding follows up to `--size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The lane (a sender and its receivers) that it belongs to.
    pub(crate) lane: u32,
    /// 0, 1, 2 ... per lane.
    pub(crate) seq: u32,
    /// When it was due to be sent, on this process's [`Clock`].
    pub(crate) due_ns: u64,
}

impl Stamp {
    /// Bytes of a stamp.
    pub(crate) const LEN: usize = 16;

    /// The stamp as bytes.
    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.lane.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.seq.to_be_bytes());
        bytes[8..].copy_from_slice(&self.due_ns.to_be_bytes());
        bytes
    }

    /// Reads a body's stamp. None: the body is too short to be one of ours.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let (lane, rest) = body.split_first_chunk::<4>()?;
        let (seq, rest) = rest.split_first_chunk::<4>()?;
        let (due, _) = rest.split_first_chunk::<8>()?;
        Some(Self {
            lane: u32::from_be_bytes(*lane),
            seq: u32::from_be_bytes(*seq),
            due_ns: u64::from_be_bytes(*due),
        })
    }

    /// Reads a stamp written as 32 lower-case hexadecimal digits (a body that must be text).
    pub(crate) fn read_hex(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::LEN];
        for (byte, pair) in bytes.iter_mut().zip(text.get(..2 * Self::LEN)?.chunks_exact(2)) {
            *byte = (nibble(pair[0])? << 4) | nibble(pair[1])?;
        }
        Self::read(&bytes)
    }

    /// Appends the stamp as 32 hexadecimal digits.
    pub(crate) fn write_hex(self, out: &mut Vec<u8>) {
        for byte in self.to_bytes() {
            out.extend_from_slice(&hex(byte));
        }
    }
}

/// A byte as two lower-case hexadecimal digits.
pub(crate) fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Reads a text of hexadecimal digits. None: an odd number of them, or another character.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.chunks_exact(2).map(|pair| Some((nibble(pair[0])? << 4) | nibble(pair[1])?)).collect()
}

/// Nanoseconds since the process began to measure; never goes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Starts at 0.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start.
    pub(crate) fn now_ns(self) -> u64 {
        nanos(self.0.elapsed())
    }
}

/// A duration in nanoseconds; 584 years and more are the largest number.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_from_bytes_and_from_hex() {
        let stamp = Stamp { lane: 7, seq: u32::MAX, due_ns: 1 << 60 };
        assert_eq!(Stamp::read(&stamp.to_bytes()), Some(stamp));
        let mut text = Vec::new();
        stamp.write_hex(&mut text);
        assert_eq!(text.len(), 32);
        assert_eq!(Stamp::read_hex(&text), Some(stamp));
    }

    #[test]
    fn what_is_no_stamp_is_not_read() {
        assert_eq!(Stamp::read(&[0; 15]), None);
        assert_eq!(Stamp::read_hex(&[b'0'; 31]), None);
        assert_eq!(Stamp::read_hex(&[b'g'; 32]), None);
        assert_eq!(unhex("abc"), None);
        assert_eq!(unhex("zz"), None);
        assert_eq!(unhex("00fF"), Some(vec![0, 255]));
    }
}
