//! Which devices are connected here, by user.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use godwit_core::ids::UserId;
use godwit_core::shrink::shrink;
use parking_lot::Mutex;

use crate::session::DeviceSession;
use crate::{limits, metrics};

type Shard = Mutex<HashMap<UserId, Vec<Arc<DeviceSession>>>>;

/// The sessions of all connected devices.
pub(crate) struct Online {
    shards: Vec<Shard>,
    hasher: RandomState,
}

impl Online {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..limits::SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    fn shard(&self, user: &UserId) -> &Shard {
        let hash = self.hasher.hash_one(user);
        &self.shards[usize::try_from(hash % limits::SHARDS as u64).unwrap_or_default()]
    }

    pub(crate) fn add(&self, user: &UserId, session: Arc<DeviceSession>) {
        self.shard(user).lock().entry(user.clone()).or_default().push(session);
        ::metrics::gauge!(metrics::DEVICES).increment(1.0);
    }

    pub(crate) fn remove(&self, user: &UserId, session: &DeviceSession) {
        let mut shard = self.shard(user).lock();
        let Some(sessions) = shard.get_mut(user) else { return };
        let before = sessions.len();
        sessions.retain(|s| !std::ptr::eq(s.as_ref(), session));
        if sessions.len() != before {
            ::metrics::gauge!(metrics::DEVICES).decrement(1.0);
        }
        if sessions.is_empty() {
            shard.remove(user);
            shrink(&mut shard);
        }
    }

    /// All sessions.
    pub(crate) fn all(&self) -> Vec<Arc<DeviceSession>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.lock().values().flatten().cloned());
        }
        all
    }

    /// Calls `each` for the user's sessions.
    pub(crate) fn each(&self, user: &UserId, mut each: impl FnMut(&Arc<DeviceSession>)) {
        if let Some(sessions) = self.shard(user).lock().get(user) {
            sessions.iter().for_each(&mut each);
        }
    }
}
