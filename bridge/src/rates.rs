//! How fast users may send, and how fast conversations may grow; beyond it a send is answered 0x97.
//!
//! On the way of every send: one short lock for each bound, nothing allocated for known keys.

use std::hash::{BuildHasher, Hash, RandomState};
use std::time::{Duration, Instant};

use godwit_core::ids::{ConversationId, UserId};
use godwit_core::rate::{Buckets, Rate};
use parking_lot::Mutex;

use crate::inner::Inner;
use crate::limits;
use crate::options::Options;

/// The bounds of [`Options`].
pub(crate) struct Rates {
    user: Option<Bound<UserId>>,
    conversation: Option<Bound<ConversationId>>,
    large_group: Option<Bound<ConversationId>>,
}

impl Rates {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            user: Bound::new(options.user_sends_per_s),
            conversation: Bound::new(options.conversation_sends_per_s),
            large_group: Bound::new(options.large_group_sends_per_s),
        }
    }

    fn check(
        &self,
        user: &UserId,
        conversation: ConversationId,
        large: bool,
        now: Instant,
    ) -> Result<(), Duration> {
        // The user first: whoever is too fast takes nothing from the others of the conversation.
        take(self.user.as_ref(), user, now)?;
        take(self.conversation.as_ref(), &conversation, now)?;
        if large { take(self.large_group.as_ref(), &conversation, now) } else { Ok(()) }
    }
}

/// Whether a send may go on. `Err`: nothing was counted against the bound that it is beyond of; it
/// may come again after so long.
pub(crate) fn check(
    inner: &Inner,
    user: &UserId,
    conversation: ConversationId,
) -> Result<(), Duration> {
    let large = inner.directory.is_large(conversation);
    if large && inner.large.is_behind() {
        return Err(limits::LARGE_BEHIND_WAIT);
    }
    inner.rates.check(user, conversation, large, Instant::now())
}

fn take<K: Eq + Hash + Clone>(
    bound: Option<&Bound<K>>,
    key: &K,
    now: Instant,
) -> Result<(), Duration> {
    bound.map_or(Ok(()), |bound| bound.take(key, now))
}

/// One bound, a bucket for each key.
struct Bound<K> {
    rate: Rate,
    shards: Vec<Mutex<Buckets<K>>>,
    hasher: RandomState,
}

impl<K: Eq + Hash + Clone> Bound<K> {
    fn new(per_s: u32) -> Option<Self> {
        let rate = Rate::per_second(per_s)?;
        let shard = |_| Mutex::new(Buckets::new(limits::RATED_KEYS_MAX));
        let shards = (0..limits::SHARDS).map(shard).collect();
        Some(Self { rate, shards, hasher: RandomState::new() })
    }

    fn take(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let hash = self.hasher.hash_one(key);
        let shard = usize::try_from(hash % limits::SHARDS as u64).unwrap_or_default();
        self.shards[shard].lock().take(key, self.rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_by_itself_and_zero_is_none() {
        let options = Options {
            user_sends_per_s: 3,
            conversation_sends_per_s: 5,
            large_group_sends_per_s: 1,
            ..Options::default()
        };
        let (rates, now) = (Rates::new(&options), Instant::now());
        let users = ["alice", "bob", "carol"].map(|name| UserId::new(name).unwrap());
        let (small, large) = (ConversationId([1; 16]), ConversationId([2; 16]));
        let mut taken = 0;
        for _ in 0..4 {
            for user in &users {
                taken += u32::from(rates.check(user, small, false, now).is_ok());
            }
        }
        assert_eq!(taken, 5, "the conversation's bound");
        // All have rested since.
        let now = now + Duration::from_secs(10);
        assert_eq!(rates.check(&users[0], large, true, now), Ok(()));
        let wait = rates.check(&users[1], large, true, now).unwrap_err();
        assert_eq!(wait, Duration::from_secs(1), "the large group's bound");
        assert_eq!(rates.check(&users[1], large, true, now + wait), Ok(()));
        for _ in 0..2 {
            assert_eq!(rates.check(&users[0], small, false, now), Ok(()));
        }
        let third = Duration::from_secs(1) / 3;
        assert_eq!(rates.check(&users[0], small, false, now), Err(third), "the user's bound");

        let free = Options {
            user_sends_per_s: 0,
            conversation_sends_per_s: 0,
            large_group_sends_per_s: 0,
            ..Options::default()
        };
        let rates = Rates::new(&free);
        assert!((0..100_000).all(|_| rates.check(&users[0], large, true, now).is_ok()));
    }
}
