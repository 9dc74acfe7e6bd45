//! What one connection may publish in a second: two token buckets with a burst of one second.

use std::time::{Duration, Instant};

/// The state of both buckets; allocated when the first publish comes.
#[derive(Debug)]
pub(crate) struct Quota {
    /// Tokens left, in messages and in bytes. Bytes may go below zero by one message, so that a
    /// message larger than a second's bytes can pass at all.
    messages: f64,
    bytes: f64,
    messages_per_s: f64,
    bytes_per_s: f64,
    at: Instant,
}

impl Quota {
    /// Full buckets. A rate of 0 means no bound.
    pub(crate) fn new(messages_per_s: u32, bytes_per_s: u32, now: Instant) -> Self {
        let rate = |r: u32| if r == 0 { f64::INFINITY } else { f64::from(r) };
        let (messages_per_s, bytes_per_s) = (rate(messages_per_s), rate(bytes_per_s));
        Self { messages: messages_per_s, bytes: bytes_per_s, messages_per_s, bytes_per_s, at: now }
    }

    /// Takes one message of `bytes`, or says how long to wait for it.
    pub(crate) fn take(&mut self, bytes: usize, now: Instant) -> Result<(), Duration> {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.messages = refill(self.messages, self.messages_per_s, elapsed);
        self.bytes = refill(self.bytes, self.bytes_per_s, elapsed);
        if self.messages >= 1.0 && self.bytes > 0.0 {
            self.messages -= 1.0;
            // A packet is far below 2^52 bytes.
            #[allow(clippy::cast_precision_loss)]
            let bytes = bytes as f64;
            self.bytes -= bytes;
            return Ok(());
        }
        let message_wait = (1.0 - self.messages).max(0.0) / self.messages_per_s;
        let byte_wait = (1.0 - self.bytes).max(0.0) / self.bytes_per_s;
        // Whole milliseconds, rounded up: a wait of zero would be a lie.
        let wait_ms = (message_wait.max(byte_wait) * 1000.0).ceil().max(1.0);
        Err(Duration::from_secs_f64(wait_ms / 1000.0))
    }
}

fn refill(left: f64, per_s: f64, elapsed_s: f64) -> f64 {
    if per_s.is_infinite() { per_s } else { (left + per_s * elapsed_s).min(per_s) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_one_second_then_the_rate() {
        let start = Instant::now();
        let mut quota = Quota::new(10, 0, start);
        for _ in 0..10 {
            assert_eq!(quota.take(100, start), Ok(()));
        }
        assert_eq!(quota.take(100, start), Err(Duration::from_millis(100)));
        assert_eq!(quota.take(100, start + Duration::from_millis(100)), Ok(()));
        assert!(quota.take(100, start + Duration::from_millis(150)).is_err());
    }

    #[test]
    fn a_message_larger_than_a_second_passes_and_is_paid_for() {
        let start = Instant::now();
        let mut quota = Quota::new(0, 1000, start);
        assert_eq!(quota.take(3000, start), Ok(()));
        let wait = quota.take(1, start).unwrap_err();
        assert!(wait >= Duration::from_secs(2), "{wait:?}");
        assert_eq!(quota.take(1, start + wait), Ok(()));
    }

    #[test]
    fn no_bound_means_none() {
        let start = Instant::now();
        let mut quota = Quota::new(0, 0, start);
        assert!((0..100_000).all(|_| quota.take(1 << 20, start).is_ok()));
    }
}
