//! What one connection may ask for in a second: one budget for everything that it sends, by its
//! weight, and one for bytes, each with a burst of one second.
//!
//! A publish weighs [`PUBLISH`]; what costs more or less is measured against it. Whoever has used up
//! the budget is told so where the packet has an answer that says it (MQTT 5's PUBACK, as often in a
//! second as publishes are allowed), and is read from more slowly else: nobody is cut for speed.

use std::time::{Duration, Instant};

/// A publish, allowed or not, and everything that costs about as much: a PINGREQ, a PUBACK of
/// nothing.
pub(crate) const PUBLISH: f64 = 1.0;
/// Each filter of a SUBSCRIBE or UNSUBSCRIBE: the rules are asked, and the store writes it.
pub(crate) const FILTER: f64 = 4.0;
/// A retained message that a new subscription looked at, whether it matches or not.
pub(crate) const RETAINED: f64 = 0.05;
/// A fresh token: its signature is verified.
pub(crate) const TOKEN: f64 = 50.0;

/// The state of all buckets; allocated when the first packet comes.
#[derive(Debug)]
pub(crate) struct Quota {
    /// What is left, in weight and in bytes. Both may go below zero by one packet, so that one which is
    /// larger than a second's worth can pass at all.
    weight: f64,
    bytes: f64,
    /// Refusals that are still told in this second.
    refusals: f64,
    weight_per_s: f64,
    bytes_per_s: f64,
    at: Instant,
}

impl Quota {
    /// Full buckets. A rate of 0 means no bound.
    pub(crate) fn new(weight_per_s: u32, bytes_per_s: u32, now: Instant) -> Self {
        let rate = |r: u32| if r == 0 { f64::INFINITY } else { f64::from(r) };
        let (weight_per_s, bytes_per_s) = (rate(weight_per_s), rate(bytes_per_s));
        Self {
            weight: weight_per_s,
            bytes: bytes_per_s,
            refusals: weight_per_s,
            weight_per_s,
            bytes_per_s,
            at: now,
        }
    }

    /// Takes a packet of `weight` and `bytes`, or says how long to wait for it.
    pub(crate) fn take(&mut self, weight: f64, bytes: usize, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        if self.weight >= weight.min(1.0) && self.bytes > 0.0 {
            self.charge(weight, bytes);
            return Ok(());
        }
        Err(self.wait(weight.min(1.0)))
    }

    /// Takes what was done already, of its weight a second's worth at most; whoever owes then waits
    /// until the next publish is allowed again.
    pub(crate) fn owe(&mut self, weight: f64, bytes: usize, now: Instant) -> Option<Duration> {
        self.refill(now);
        self.charge(weight.min(self.weight_per_s), bytes);
        (self.weight < 0.0 || self.bytes < 0.0).then(|| self.wait(1.0))
    }

    /// Whether a refusal may be told; if not, reading has to wait that long.
    pub(crate) fn refuse(&mut self) -> Option<Duration> {
        if self.refusals >= 1.0 {
            self.refusals -= 1.0;
            return None;
        }
        Some(rounded((1.0 - self.refusals) / self.weight_per_s))
    }

    fn charge(&mut self, weight: f64, bytes: usize) {
        self.weight -= weight;
        // A packet is far below 2^52 bytes.
        #[allow(clippy::cast_precision_loss)]
        let bytes = bytes as f64;
        self.bytes -= bytes;
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.weight = refill(self.weight, self.weight_per_s, elapsed);
        self.bytes = refill(self.bytes, self.bytes_per_s, elapsed);
        self.refusals = refill(self.refusals, self.weight_per_s, elapsed);
    }

    /// Until so much weight and a byte are there.
    fn wait(&self, weight: f64) -> Duration {
        let weight_wait = (weight - self.weight).max(0.0) / self.weight_per_s;
        let byte_wait = (1.0 - self.bytes).max(0.0) / self.bytes_per_s;
        rounded(weight_wait.max(byte_wait))
    }
}

/// Whole milliseconds, rounded up: a wait of zero would be a lie.
fn rounded(wait_s: f64) -> Duration {
    Duration::from_secs_f64((wait_s * 1000.0).ceil().max(1.0) / 1000.0)
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
            assert_eq!(quota.take(PUBLISH, 100, start), Ok(()));
        }
        assert_eq!(quota.take(PUBLISH, 100, start), Err(Duration::from_millis(100)));
        assert_eq!(quota.take(PUBLISH, 100, start + Duration::from_millis(100)), Ok(()));
        assert!(quota.take(PUBLISH, 100, start + Duration::from_millis(150)).is_err());
    }

    #[test]
    fn a_message_larger_than_a_second_passes_and_is_paid_for() {
        let start = Instant::now();
        let mut quota = Quota::new(0, 1000, start);
        assert_eq!(quota.take(PUBLISH, 3000, start), Ok(()));
        let wait = quota.take(PUBLISH, 1, start).unwrap_err();
        assert!(wait >= Duration::from_secs(2), "{wait:?}");
        assert_eq!(quota.take(PUBLISH, 1, start + wait), Ok(()));
    }

    #[test]
    fn what_was_done_already_is_owed() {
        let start = Instant::now();
        let mut quota = Quota::new(10, 0, start);
        assert_eq!(quota.owe(10.0, 0, start), None);
        let wait = quota.owe(1000.0, 0, start);
        assert_eq!(wait, Some(Duration::from_millis(1100)));
        assert!(quota.take(PUBLISH, 0, start + Duration::from_secs(1)).is_err());
        assert_eq!(quota.take(PUBLISH, 0, start + Duration::from_millis(1100)), Ok(()));
    }

    #[test]
    fn refusals_are_told_as_often_as_publishes_are_allowed() {
        let start = Instant::now();
        let mut quota = Quota::new(10, 0, start);
        for _ in 0..10 {
            assert_eq!(quota.take(PUBLISH, 0, start), Ok(()));
        }
        for _ in 0..10 {
            assert!(quota.take(PUBLISH, 0, start).is_err());
            assert_eq!(quota.refuse(), None);
        }
        assert_eq!(quota.refuse(), Some(Duration::from_millis(100)));
    }

    #[test]
    fn no_bound_means_none() {
        let start = Instant::now();
        let mut quota = Quota::new(0, 0, start);
        assert!((0..100_000).all(|_| quota.take(PUBLISH, 1 << 20, start).is_ok()));
        assert_eq!(quota.owe(1e9, 1 << 30, start), None);
    }
}
