//! What users let others see and whom they block: read from the store, cached until it changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use godwit_core::ids::UserId;
use godwit_core::people::Settings;
use godwit_core::store::{Error, Store};
use parking_lot::Mutex;

use crate::limits;

/// What is known of a user.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) settings: Settings,
    /// When the user was last online, as the store knows: milliseconds since 1970.
    pub(crate) last_seen_ms: Option<u64>,
    /// Ordered.
    blocks: Vec<UserId>,
}

impl Person {
    /// Whether the user blocks `other`.
    pub(crate) fn blocks(&self, other: &UserId) -> bool {
        self.blocks.binary_search(other).is_ok()
    }
}

#[derive(Default)]
struct Cache {
    people: HashMap<UserId, Arc<Person>>,
    /// Names in all of `blocks`.
    names: usize,
}

impl Cache {
    fn put(&mut self, user: &UserId, person: Arc<Person>, names_max: usize, people_max: usize) {
        self.remove(user);
        let need = person.blocks.len();
        if need > names_max {
            return;
        }
        if self.people.len() >= people_max || self.names + need > names_max {
            // Users are hashed with random seeds, so the order of the map is as good as any. Those that go
            // may have few names, so more go until there is room.
            let mut left = self.people.len().div_ceil(8);
            let names = &mut self.names;
            self.people.retain(|_, person| {
                let goes = left > 0 || *names + need > names_max;
                left = left.saturating_sub(1);
                *names -= if goes { person.blocks.len() } else { 0 };
                !goes
            });
        }
        self.names += need;
        self.people.insert(user.clone(), person);
    }

    fn remove(&mut self, user: &UserId) {
        if let Some(person) = self.people.remove(user) {
            self.names -= person.blocks.len();
        }
    }
}

/// All users that somebody asked about lately.
pub(crate) struct People {
    store: Arc<dyn Store>,
    cache: Mutex<Cache>,
    /// Raised by every change: what was read before it is not cached.
    generation: AtomicU64,
}

impl People {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, cache: Mutex::default(), generation: AtomicU64::new(0) }
    }

    /// The user, if cached.
    pub(crate) fn cached(&self, user: &UserId) -> Option<Arc<Person>> {
        self.cache.lock().people.get(user).cloned()
    }

    /// The user, read when not cached.
    pub(crate) async fn of(&self, user: &UserId) -> Result<Arc<Person>, Error> {
        if let Some(person) = self.cached(user) {
            return Ok(person);
        }
        let generation = self.generation();
        let row = self.store.user(user).await?;
        let mut blocks = self.store.blocks(user).await?;
        blocks.sort();
        let (settings, last_seen_ms) = (row.settings, row.last_seen_ms);
        let person = Arc::new(Person { settings, last_seen_ms, blocks });
        let mut cache = self.cache.lock();
        if self.generation() == generation {
            let (names_max, people_max) = (limits::CACHED_BLOCKS_MAX, limits::CACHED_PEOPLE_MAX);
            cache.put(user, Arc::clone(&person), names_max, people_max);
        }
        Ok(person)
    }

    /// What the user lets others see.
    pub(crate) async fn settings(&self, user: &UserId) -> Result<Settings, Error> {
        Ok(self.of(user).await?.settings)
    }

    /// The user's settings or blocks have changed.
    pub(crate) fn forget(&self, user: &UserId) {
        let mut cache = self.cache.lock();
        self.generation.fetch_add(1, Ordering::SeqCst);
        cache.remove(user);
    }

    /// Changes with every [`People::forget`]: whoever has read before looks again.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// The user was last online then.
    pub(crate) fn seen(&self, user: &UserId, time_ms: u64) {
        let mut cache = self.cache.lock();
        if let Some(person) = cache.people.get_mut(user)
            && person.last_seen_ms < Some(time_ms)
        {
            let (settings, blocks) = (person.settings, person.blocks.clone());
            *person = Arc::new(Person { settings, last_seen_ms: Some(time_ms), blocks });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(i: usize) -> UserId {
        UserId::new(&format!("u{i}")).unwrap()
    }

    fn person(blocks: usize) -> Arc<Person> {
        let mut blocks: Vec<_> = (0..blocks).map(user).collect();
        blocks.sort();
        Arc::new(Person { settings: Settings::default(), last_seen_ms: None, blocks })
    }

    #[test]
    fn the_cache_is_bounded_in_people_and_in_names() {
        let mut cache = Cache::default();
        for i in 0..1000 {
            cache.put(&user(i), person(i % 7), 100, 40);
            assert!(cache.people.len() <= 40 && cache.names <= 100);
            assert!(cache.people.contains_key(&user(i)));
            let names: usize = cache.people.values().map(|person| person.blocks.len()).sum();
            assert_eq!(cache.names, names);
        }
        cache.put(&user(0), person(101), 100, 40);
        assert!(!cache.people.contains_key(&user(0)), "more than fit at all");
        for i in 0..1000 {
            cache.remove(&user(i));
        }
        assert_eq!((cache.people.len(), cache.names), (0, 0));
    }

    #[test]
    fn blocks_are_found() {
        let person = person(50);
        assert!((0..50).all(|i| person.blocks(&user(i))));
        assert!(!person.blocks(&user(50)));
    }
}
