//! The time, and ids that hold it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use godwit_core::ids::MessageId;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Makes message ids: UUID version 7, with a counter and random bits drawn once per process.
#[derive(Debug)]
pub(crate) struct MessageIds {
    process: u64,
    next: AtomicU64,
}

impl MessageIds {
    /// `process`: random bits that set this process apart.
    pub(crate) fn new(process: u64) -> Self {
        Self { process, next: AtomicU64::new(process.rotate_left(32) & 0xffff_ffff) }
    }

    /// 48 bits of time, 4 of version, 12 and 30 of a counter, 2 of variant, 32 of the process.
    pub(crate) fn next(&self, time_ms: u64) -> MessageId {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let high = (time_ms << 16) | 0x7000 | ((count >> 30) & 0x0fff);
        let low = (0b10 << 62) | ((count & 0x3fff_ffff) << 32) | (self.process & 0xffff_ffff);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        MessageId(bytes)
    }
}
