//! Which devices have connected, and when users were last online: written behind, so that a storm
//! of connects does not pay for it.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use godwit_core::ids::{Identity, UserId};
use godwit_core::store::Error;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::inner::Inner;
use crate::{limits, retry};

/// How long notes are gathered.
const DELAY: Duration = Duration::from_secs(5);

/// A device is not noted again for so long.
const NOTED_FOR: Duration = Duration::from_secs(60);

/// How often it is looked whether there is something to forget, when nothing new comes: a pass over at
/// most [`limits::DEVICES_NOTED_MAX`] times.
const FORGET: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Notes {
    /// Milliseconds since 1970 of the last connect, to be stored.
    devices: HashMap<Identity, u64>,
    /// When devices were noted last, by a hash under a key of this process: no text that stays for a
    /// minute lies between what a connection takes and gives back. Two devices of one hash are noted in
    /// turns, which nobody sees.
    noted: HashMap<u64, Instant>,
    /// Milliseconds since 1970; they stay until they are stored.
    users: HashMap<UserId, u64>,
}

/// Devices and users with their times.
type Taken = (Vec<(Identity, u64)>, Vec<(UserId, u64)>);

/// What is to be stored.
#[derive(Default)]
pub(crate) struct Seen {
    notes: Mutex<Notes>,
    hasher: RandomState,
    wanted: Notify,
    stopped: Notify,
    stopping: AtomicBool,
}

impl Seen {
    /// A device has connected. Beyond the bounds it is not noted: the next time will do.
    pub(crate) fn device(&self, device: &Identity, time_ms: u64, now: Instant) {
        let hash = self.hasher.hash_one(device);
        let mut notes = self.notes.lock();
        let full = notes.devices.len() >= limits::DEVICES_NOTED_MAX
            || notes.noted.len() >= limits::DEVICES_NOTED_MAX;
        if full || notes.noted.get(&hash).is_some_and(|at| now < *at + NOTED_FOR) {
            return;
        }
        notes.noted.insert(hash, now);
        notes.devices.insert(device.clone(), time_ms);
        drop(notes);
        self.wanted.notify_one();
    }

    /// A user has gone offline.
    pub(crate) fn user(&self, user: &UserId, time_ms: u64) {
        let mut notes = self.notes.lock();
        if notes.users.len() >= limits::DEVICES_NOTED_MAX {
            return;
        }
        let seen_ms = notes.users.entry(user.clone()).or_default();
        *seen_ms = time_ms.max(*seen_ms);
        drop(notes);
        self.wanted.notify_one();
    }

    /// When the user was last online, if that is not stored yet.
    pub(crate) fn unstored(&self, user: &UserId) -> Option<u64> {
        self.notes.lock().users.get(user).copied()
    }

    fn remembers(&self) -> bool {
        !self.notes.lock().noted.is_empty()
    }

    /// The task stores what there is, and ends.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.stopped.notify_one();
    }

    fn take(&self, now: Instant) -> Taken {
        let mut notes = self.notes.lock();
        notes.noted.retain(|_, at| now < *at + NOTED_FOR);
        if notes.noted.len() < notes.noted.capacity() / 4 {
            // What a storm took is given back.
            notes.noted.shrink_to_fit();
        }
        let devices = std::mem::take(&mut notes.devices).into_iter().collect();
        let users = notes.users.iter().map(|(user, at)| (user.clone(), *at)).collect();
        (devices, users)
    }

    fn stored(&self, users: &[(UserId, u64)]) {
        let mut notes = self.notes.lock();
        for (user, time_ms) in users {
            if notes.users.get(user).is_some_and(|at| at <= time_ms) {
                notes.users.remove(user);
            }
        }
        if notes.users.is_empty() {
            notes.users = HashMap::new();
        }
    }
}

/// Starts storing.
pub(crate) fn start(inner: &Arc<Inner>) -> JoinHandle<()> {
    tokio::spawn(inner.supervisor.watch("who was seen", run(Arc::clone(inner))))
}

async fn run(inner: Arc<Inner>) {
    let seen = &inner.seen;
    while !seen.stopping.load(Ordering::SeqCst) {
        tokio::select! {
            () = seen.wanted.notified() => {}
            () = seen.stopped.notified() => {}
            // What was noted is forgotten, also when nothing new comes.
            () = tokio::time::sleep(FORGET), if seen.remembers() => {}
        }
        if !seen.stopping.load(Ordering::SeqCst) {
            tokio::select! {
                () = tokio::time::sleep(DELAY) => {}
                () = seen.stopped.notified() => {}
            }
        }
        store(&inner).await;
    }
}

async fn store(inner: &Inner) {
    let (devices, users) = inner.seen.take(Instant::now());
    for chunk in devices.chunks(limits::NOTES_PER_STATEMENT) {
        let mut backoff = retry::Backoff::new();
        while let Err(error) = inner.store.note_devices(chunk).await {
            if !is_worth_waiting("note_devices", &error) {
                break;
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }
    for chunk in users.chunks(limits::NOTES_PER_STATEMENT) {
        let mut backoff = retry::Backoff::new();
        while let Err(error) = inner.store.note_seen(chunk).await {
            if !is_worth_waiting("note_seen", &error) {
                break;
            }
            tokio::time::sleep(backoff.next()).await;
        }
        for (user, time_ms) in chunk {
            inner.people.seen(user, *time_ms);
        }
        inner.seen.stored(chunk);
    }
}

fn is_worth_waiting(operation: &'static str, error: &Error) -> bool {
    retry::note(operation, error);
    matches!(error, Error::Unavailable(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_core::ids::DeviceId;

    fn identity(i: usize) -> Identity {
        let user = UserId::new(&format!("u{i}")).unwrap();
        Identity { user, device: DeviceId::new("phone").unwrap() }
    }

    #[test]
    fn a_device_is_noted_once_a_minute() {
        let (seen, start) = (Seen::default(), Instant::now());
        seen.device(&identity(1), 10, start);
        seen.device(&identity(1), 20, start + NOTED_FOR / 2);
        assert_eq!(seen.take(start).0, [(identity(1), 10)]);
        seen.device(&identity(1), 30, start + NOTED_FOR / 2);
        assert_eq!(seen.take(start + NOTED_FOR / 2).0, []);
        seen.device(&identity(1), 40, start + NOTED_FOR);
        assert_eq!(seen.take(start + NOTED_FOR).0, [(identity(1), 40)]);
    }

    #[test]
    fn what_is_noted_is_bounded_and_forgotten() {
        let (seen, start) = (Seen::default(), Instant::now());
        for i in 0..limits::DEVICES_NOTED_MAX + 10 {
            seen.device(&identity(i), 10, start);
        }
        assert_eq!(seen.take(start).0.len(), limits::DEVICES_NOTED_MAX);
        seen.take(start + NOTED_FOR);
        assert!(seen.notes.lock().noted.is_empty());
    }

    #[test]
    fn a_user_is_known_until_it_is_stored() {
        let (seen, now) = (Seen::default(), Instant::now());
        let user = identity(1).user;
        seen.user(&user, 10);
        seen.user(&user, 5);
        assert_eq!(seen.unstored(&user), Some(10));
        let (_, taken) = seen.take(now);
        assert_eq!(taken, [(user.clone(), 10)]);
        // Off and on again while it is being stored.
        seen.user(&user, 20);
        seen.stored(&taken);
        assert_eq!(seen.unstored(&user), Some(20));
        let (_, taken) = seen.take(now);
        seen.stored(&taken);
        assert_eq!(seen.unstored(&user), None);
    }
}
