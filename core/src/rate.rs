//! Rates: how often something may happen, by the generic cell rate algorithm.
//!
//! A bucket is one point in time, so a million of them are cheap. What is refused costs nothing:
//! whoever hammers still gets exactly the rate.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::shrink::shrink;

/// So many in a second on average, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The time that one takes.
    interval: Duration,
    /// How far ahead of an even pace one may be.
    ahead: Duration,
}

impl Rate {
    /// One every `interval` on average, `burst` at once after a rest.
    #[must_use]
    pub fn every(interval: Duration, burst: NonZeroU32) -> Self {
        Self { interval, ahead: interval.saturating_mul(burst.get() - 1) }
    }

    /// `count` in a second, all of them at once if need be. `None`: 0, which means no bound.
    #[must_use]
    pub fn per_second(count: u32) -> Option<Self> {
        let burst = NonZeroU32::new(count)?;
        Some(Self::every(Duration::from_secs(1) / count, burst))
    }
}

/// How much of a rate is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    /// When all that was taken would have been due at an even pace. `None`: nothing was.
    due: Option<Instant>,
}

impl Bucket {
    /// Takes one, if the rate allows it. `Err`: nothing was taken; one can be after so long.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let due = self.due.map_or(now, |due| due.max(now));
        let ahead = due.duration_since(now);
        if ahead > rate.ahead {
            return Err(ahead - rate.ahead);
        }
        // A time beyond what the clock can say is as good as none.
        self.due = due.checked_add(rate.interval);
        Ok(())
    }

    /// Takes so many more, whether the rate allows it or not: what was done has cost so much.
    pub fn charge(&mut self, rate: Rate, count: u32, now: Instant) {
        let due = self.due.map_or(now, |due| due.max(now));
        self.due = due.checked_add(rate.interval.saturating_mul(count));
    }

    /// Gives one back that was taken.
    pub fn give(&mut self, rate: Rate) {
        self.due = self.due.and_then(|due| due.checked_sub(rate.interval));
    }

    /// Whether it is as good as new, so that it need not be remembered.
    #[must_use]
    pub fn is_rested(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }
}

/// One bucket for each key, of a bounded number of keys.
///
/// Rested keys are forgotten now and then, and when it is full; if these are few, then others too,
/// down to seven eighths: they may burst once more. An entry takes about 16 bytes and the key.
#[derive(Debug)]
pub struct Buckets<K> {
    buckets: HashMap<K, Bucket>,
    keys_max: usize,
    /// Taken since rested keys were forgotten.
    taken: usize,
}

/// So often, in takes, rested keys are forgotten at least; with more keys than that, after as many
/// takes as there are keys: a constant cost on average.
const SWEEP_AFTER: usize = 1024;

impl<K: Eq + Hash + Clone> Buckets<K> {
    /// At most `keys_max` keys (at least 8) are remembered.
    #[must_use]
    pub fn new(keys_max: usize) -> Self {
        Self { buckets: HashMap::new(), keys_max: keys_max.max(8), taken: 0 }
    }

    /// As [`Bucket::take`] on the bucket of `key`.
    pub fn take(&mut self, key: &K, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.taken += 1;
        if self.taken > self.buckets.len().max(SWEEP_AFTER) {
            self.sweep(now);
        }
        if let Some(bucket) = self.buckets.get_mut(key) {
            return bucket.take(rate, now);
        }
        if self.buckets.len() >= self.keys_max {
            self.make_room(now);
        }
        self.buckets.entry(key.clone()).or_default().take(rate, now)
    }

    /// As [`Bucket::charge`] on the bucket of `key`, if it is remembered.
    pub fn charge(&mut self, key: &K, rate: Rate, count: u32, now: Instant) {
        if let Some(bucket) = self.buckets.get_mut(key) {
            bucket.charge(rate, count, now);
        }
    }

    /// As [`Bucket::give`] on the bucket of `key`, if it is remembered.
    pub fn give(&mut self, key: &K, rate: Rate) {
        if let Some(bucket) = self.buckets.get_mut(key) {
            bucket.give(rate);
        }
    }

    fn sweep(&mut self, now: Instant) {
        self.taken = 0;
        self.buckets.retain(|_, bucket| !bucket.is_rested(now));
        shrink(&mut self.buckets);
    }

    fn make_room(&mut self, now: Instant) {
        self.sweep(now);
        // Keys are hashed with random seeds, so the order of the map is as good as any.
        let mut surplus = self.buckets.len().saturating_sub(self.keys_max - self.keys_max / 8);
        if surplus > 0 {
            self.buckets.retain(|_, _| {
                let kept = surplus == 0;
                surplus -= usize::from(!kept);
                kept
            });
        }
    }

    /// Keys remembered now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_crowd_that_has_gone_is_forgotten() {
        let (mut buckets, start) = (Buckets::new(100_000), Instant::now());
        let rate = Rate::per_second(10).unwrap();
        for user in 0..50_000 {
            assert_eq!(buckets.take(&user, rate, start), Ok(()));
        }
        assert_eq!(buckets.len(), 50_000);
        for n in 0..50_001_u32 {
            let now = start + Duration::from_secs(60) + n * 100 * MS;
            assert_eq!(buckets.take(&0, rate, now), Ok(()));
        }
        assert!(buckets.len() <= 1 && buckets.buckets.capacity() <= 64);
    }

    #[test]
    fn a_burst_then_an_even_pace() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        let rate = Rate::per_second(10).unwrap();
        for _ in 0..10 {
            assert_eq!(bucket.take(rate, start), Ok(()));
        }
        assert_eq!(bucket.take(rate, start), Err(100 * MS));
        assert_eq!(bucket.take(rate, start + 40 * MS), Err(60 * MS));
        assert_eq!(bucket.take(rate, start + 100 * MS), Ok(()));
        assert_eq!(bucket.take(rate, start + 100 * MS), Err(100 * MS));
        assert!(!bucket.is_rested(start + 1099 * MS));
        assert!(bucket.is_rested(start + 1100 * MS));
        assert_eq!(Rate::per_second(0), None);
    }

    #[test]
    fn what_was_done_is_paid_for() {
        let (mut buckets, now) = (Buckets::new(8), Instant::now());
        let rate = Rate::per_second(10).unwrap();
        buckets.charge(&1, rate, 100, now);
        assert!(buckets.is_empty(), "whoever has taken nothing owes nothing");
        assert_eq!(buckets.take(&1, rate, now), Ok(()));
        buckets.charge(&1, rate, 29, now);
        assert_eq!(buckets.take(&1, rate, now), Err(2100 * MS));
        assert_eq!(buckets.take(&1, rate, now + 2100 * MS), Ok(()));
        buckets.charge(&1, rate, u32::MAX, now);
        assert!(buckets.take(&1, rate, now).is_err());
    }

    #[test]
    fn what_is_given_back_was_not_taken() {
        let (mut buckets, now) = (Buckets::new(8), Instant::now());
        let rate = Rate::every(1000 * MS, NonZeroU32::new(2).unwrap());
        for _ in 0..9 {
            assert_eq!(buckets.take(&1, rate, now), Ok(()));
            buckets.give(&1, rate);
        }
        buckets.give(&2, rate);
        assert_eq!((buckets.take(&1, rate, now), buckets.take(&1, rate, now)), (Ok(()), Ok(())));
        assert_eq!(buckets.take(&1, rate, now), Err(1000 * MS));
    }

    #[test]
    fn one_at_a_time() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        let rate = Rate::every(Duration::from_secs(6), NonZeroU32::MIN);
        assert_eq!(bucket.take(rate, start), Ok(()));
        assert_eq!(bucket.take(rate, start + 5999 * MS), Err(MS));
        assert_eq!(bucket.take(rate, start + 6000 * MS), Ok(()));
    }

    #[test]
    fn keys_are_bounded_and_busy_ones_stay_while_there_is_room() {
        let (mut buckets, start) = (Buckets::new(64), Instant::now());
        let rate = Rate::per_second(1).unwrap();
        for key in 0..63_u32 {
            assert_eq!(buckets.take(&key, rate, start), Ok(()));
        }
        let later = start + 1000 * MS;
        assert_eq!(buckets.take(&1000, rate, later), Ok(()));
        // Full; all but one are rested.
        assert_eq!(buckets.take(&1001, rate, later), Ok(()));
        assert_eq!(buckets.len(), 2);
        assert!(buckets.take(&1000, rate, later).is_err());
        // Full of busy ones: still bounded.
        for key in 2000..4000_u32 {
            assert_eq!(buckets.take(&key, rate, later), Ok(()));
            assert!(buckets.len() <= 64);
        }
        assert!(!buckets.is_empty());
    }

    proptest! {
        /// In no window is more taken than the burst and the window's share, and whoever waits as
        /// long as told is let through.
        #[test]
        fn never_more_than_the_rate(
            per_second in 1_u32..50,
            burst in 1_u32..20,
            gaps_ms in proptest::collection::vec(0_u32..300, 1..200),
        ) {
            let interval = Duration::from_secs(1) / per_second;
            let rate = Rate::every(interval, NonZeroU32::new(burst).unwrap());
            let (mut bucket, mut now) = (Bucket::default(), Instant::now());
            let mut taken: Vec<Instant> = Vec::new();
            for gap in gaps_ms {
                now += gap * MS;
                match bucket.take(rate, now) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        prop_assert!(wait > Duration::ZERO);
                        let mut later = bucket;
                        prop_assert_eq!(later.take(rate, now + wait), Ok(()));
                        let mut early = bucket;
                        prop_assert!(early.take(rate, now + wait - Duration::from_nanos(1)).is_err());
                    }
                }
            }
            for (i, from) in taken.iter().enumerate() {
                for (j, to) in taken.iter().enumerate().skip(i) {
                    let share = to.duration_since(*from).as_nanos() / interval.as_nanos();
                    prop_assert!((j - i + 1) as u128 <= u128::from(burst) + share);
                }
            }
        }
    }
}
