//! Who is there: what connections, and what devices say of themselves on `p`, say of their users.
//!
//! [`godwit_core::presence`] decides what others may know; it travels as a signal, and
//! [`crate::watch`] tells the devices that look.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use godwit_core::bus::{Presence, Signal};
use godwit_core::ids::UserId;
use godwit_core::presence::{Board, Change, Declared, Epoch, Leave};
use godwit_core::tasks::contain;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::inner::Inner;
use crate::session::DeviceSession;
use crate::watch::{self, Watch};
use crate::{clock, limits, metrics};

mod word;

pub(crate) use word::publish;

/// Who is there.
pub(crate) struct Presences {
    board: Mutex<Board>,
    /// The board has an earlier deadline.
    wanted: Notify,
    epochs: AtomicU64,
    /// Spreads the ends of connections.
    hasher: RandomState,
    /// What other bridges said last of users that are not connected here. Bounded by
    /// `limits::ELSEWHERE_MAX`; beyond it a user counts as offline.
    elsewhere: Mutex<HashMap<UserId, Presence>>,
    pub(crate) watch: Watch,
}

impl Presences {
    pub(crate) fn new() -> Self {
        Self {
            board: Mutex::new(Board::new(limits::LEAVING_MAX)),
            wanted: Notify::new(),
            epochs: AtomicU64::new(0),
            hasher: RandomState::new(),
            elsewhere: Mutex::default(),
            watch: Watch::new(),
        }
    }

    /// The number of a new connection.
    pub(crate) fn next_epoch(&self) -> Epoch {
        Epoch(self.epochs.fetch_add(1, Ordering::SeqCst))
    }

    /// The number that the next connection will have: those below it have begun.
    pub(crate) fn epoch_now(&self) -> Epoch {
        Epoch(self.epochs.load(Ordering::SeqCst))
    }

    /// What is known of the user without asking the store; `None`: offline.
    pub(crate) fn of(&self, user: &UserId) -> Option<Presence> {
        let here = self.board.lock().presence_of(user);
        here.or_else(|| self.elsewhere.lock().get(user).copied())
    }

    /// What another bridge says of a user who is `here`, or not.
    fn heard(&self, user: &UserId, presence: Presence, here: bool) {
        let mut elsewhere = self.elsewhere.lock();
        match presence {
            Presence::Online | Presence::Away if !here => {
                if elsewhere.len() < limits::ELSEWHERE_MAX || elsewhere.contains_key(user) {
                    elsewhere.insert(user.clone(), presence);
                }
            }
            _ => {
                elsewhere.remove(user);
            }
        }
    }

    /// Between the two bounds, by the number of the connection.
    fn offline_delay(&self, inner: &Inner, epoch: Epoch) -> Duration {
        let (min, max) = (inner.options.offline_delay_min, inner.options.offline_delay_max);
        let span_ms = u64::try_from(max.saturating_sub(min).as_millis()).unwrap_or(u64::MAX);
        let offset_ms = self.hasher.hash_one(epoch.0) % span_ms.saturating_add(1);
        min + Duration::from_millis(offset_ms)
    }
}

/// Something has changed here.
fn pass_on(inner: &Inner, change: Option<Change>) {
    let Some(Change { user, presence }) = change else { return };
    if let Presence::Offline { last_seen_ms: Some(time_ms) } = presence {
        inner.seen.user(&user, time_ms);
    }
    inner.announce.signal(&[Signal::Presence { user, presence }]);
}

/// A device has connected.
pub(crate) fn opened(session: &DeviceSession) {
    let (inner, device) = (&session.inner, session.identity());
    let change = inner.presence.board.lock().connected(device, session.epoch);
    pass_on(inner, change);
    inner.seen.device(device, clock::now_ms(), Instant::now());
}

/// A device has said something of itself.
fn declared(session: &DeviceSession, declared: Declared) {
    let board = &session.inner.presence.board;
    let change = board.lock().declared(session.identity(), session.epoch, declared);
    pass_on(&session.inner, change);
}

/// A connection has ended; the session is closed already.
pub(crate) fn closed(session: &DeviceSession) {
    let (inner, device) = (&session.inner, session.identity());
    inner.presence.watch.leave(session);
    let now = Instant::now();
    let delay = inner.presence.offline_delay(inner, session.epoch);
    let leave = Leave { due: now + delay, time_ms: clock::now_ms() };
    let (change, sooner) = {
        let mut board = inner.presence.board.lock();
        let before = board.next_deadline();
        let change = board.closed(device, session.epoch, leave);
        (change, board.next_deadline() != before)
    };
    if sooner {
        inner.presence.wanted.notify_one();
    }
    pass_on(inner, change);
}

/// Starts keeping the deadlines, and telling those who look.
pub(crate) fn start(inner: &Arc<Inner>) -> [JoinHandle<()>; 2] {
    let (clock, telling) = (run(Arc::clone(inner)), watch::run(Arc::clone(inner)));
    [
        tokio::spawn(inner.supervisor.watch("presence", clock)),
        tokio::spawn(inner.supervisor.watch("telling of presence", telling)),
    ]
}

async fn run(inner: Arc<Inner>) {
    let presence = &inner.presence;
    loop {
        let deadline = presence.board.lock().next_deadline();
        match deadline {
            Some(deadline) => tokio::select! {
                () = tokio::time::sleep_until(deadline.into()) => {}
                () = presence.wanted.notified() => continue,
            },
            None => {
                presence.wanted.notified().await;
                continue;
            }
        }
        loop {
            let change = presence.board.lock().poll(Instant::now());
            if change.is_none() {
                break;
            }
            pass_on(&inner, change);
        }
    }
}

/// The process ends: whoever has left is noted as seen without waiting for the delay. Nobody is
/// told: the devices are on their way to another process.
pub(crate) fn stop(inner: &Inner) {
    let end = Instant::now() + inner.options.offline_delay_max;
    while let Some(change) = inner.presence.board.lock().poll(end) {
        if let Presence::Offline { last_seen_ms: Some(time_ms) } = change.presence {
            inner.seen.user(&change.user, time_ms);
        }
    }
}

/// A user's presence has changed, here or at another bridge.
pub(crate) fn signalled(inner: &Arc<Inner>, user: &UserId, presence: Presence) {
    let here = inner.presence.board.lock().presence_of(user);
    let better = match (here, presence) {
        (Some(here), Presence::Offline { .. }) => Some(here),
        (Some(Presence::Online), Presence::Away) => Some(Presence::Online),
        _ => None,
    };
    if let Some(presence) = better {
        // Gone or away there, but not here: those who look at other bridges hear the last word. In
        // a task of its own, because the bus is at work with this one.
        let (inner, user) = (Arc::clone(inner), user.clone());
        let tell = async move { pass_on(&inner, Some(Change { user, presence })) };
        tokio::spawn(contain("presence that is better here", tell, |death| {
            metrics::signal_lost(&death);
        }));
    }
    inner.presence.heard(user, presence, here.is_some());
    if let Presence::Offline { last_seen_ms: Some(time_ms) } = presence {
        inner.people.seen(user, time_ms);
    }
    inner.presence.watch.news(user, false);
}

/// A user's settings or blocks have changed: those who look are told anew, and so is the user.
pub(crate) fn user_changed(inner: &Arc<Inner>, user: &UserId) {
    inner.people.forget(user);
    inner.typing.parted(user);
    inner.presence.watch.news(user, true);
    let mut sessions = Vec::new();
    inner.online.each(user, |session| sessions.push(Arc::clone(session)));
    for session in sessions {
        watch::look_again(&session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_elsewhere_are_bounded() {
        let presences = Presences::new();
        let user = |n: usize| UserId::new(&format!("u{n}")).unwrap();
        for n in 0..limits::ELSEWHERE_MAX + 5 {
            presences.heard(&user(n), Presence::Online, false);
        }
        assert_eq!(presences.elsewhere.lock().len(), limits::ELSEWHERE_MAX);
        let last = user(limits::ELSEWHERE_MAX);
        assert_eq!((presences.of(&user(0)), presences.of(&last)), (Some(Presence::Online), None));
        // Who is known is told of further; who has gone, or is here, makes room.
        presences.heard(&user(0), Presence::Away, false);
        assert_eq!(presences.of(&user(0)), Some(Presence::Away));
        presences.heard(&user(0), Presence::Online, true);
        presences.heard(&last, Presence::Online, false);
        assert_eq!((presences.of(&user(0)), presences.of(&last)), (None, Some(Presence::Online)));
    }
}
