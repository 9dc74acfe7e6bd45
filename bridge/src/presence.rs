//! `p` up: what devices say of themselves, and what their connections say of their users.
//!
//! [`godwit_core::presence`] decides what others may know; it travels as a signal, and
//! [`crate::watch`] tells the devices that look.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_core::bus::{Presence, Signal};
use godwit_core::edge::{Ack, Code, Outcome};
use godwit_core::ids::{ConversationId, UserId};
use godwit_core::presence::{Board, Change, Declared, Epoch, Leave};
use godwit_core::store::Error;
use godwit_proto::presence::v1 as wire;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::directory::Known;
use crate::fate::{self, About};
use crate::inner::Inner;
use crate::session::{ASK_AGAIN, DeviceSession};
use crate::watch::{self, Watch};
use crate::{ingest, limits, pull, retry};

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
        Epoch(self.epochs.fetch_add(1, Ordering::Relaxed))
    }

    /// What is known of the user without asking the store; `None`: offline.
    pub(crate) fn of(&self, user: &UserId) -> Option<Presence> {
        let here = self.board.lock().presence_of(user);
        here.or_else(|| self.elsewhere.lock().get(user).copied())
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
    inner.seen.device(device, ingest::now_ms(), Instant::now());
}

/// A connection has ended; the session is closed already.
pub(crate) fn closed(session: &DeviceSession) {
    let (inner, device) = (&session.inner, session.identity());
    inner.presence.watch.leave(session);
    let now = Instant::now();
    let delay = inner.presence.offline_delay(inner, session.epoch);
    let leave = Leave { due: now + delay, time_ms: ingest::now_ms() };
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
    [tokio::spawn(run(Arc::clone(inner))), tokio::spawn(watch::run(Arc::clone(inner)))]
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
        tokio::spawn(async move { pass_on(&inner, Some(Change { user, presence })) });
    }
    {
        let mut elsewhere = inner.presence.elsewhere.lock();
        match presence {
            Presence::Online | Presence::Away if here.is_none() => {
                if elsewhere.len() < limits::ELSEWHERE_MAX || elsewhere.contains_key(user) {
                    elsewhere.insert(user.clone(), presence);
                }
            }
            _ => {
                elsewhere.remove(user);
            }
        }
    }
    if let Presence::Offline { last_seen_ms: Some(time_ms) } = presence {
        inner.people.seen(user, time_ms);
    }
    inner.presence.watch.news(user, false);
}

/// A user's settings or blocks have changed: those who look are told anew, and so is the user.
pub(crate) fn user_changed(inner: &Arc<Inner>, user: &UserId) {
    inner.people.forget(user);
    inner.presence.watch.news(user, true);
    let mut sessions = Vec::new();
    inner.online.each(user, |session| sessions.push(Arc::clone(session)));
    for session in sessions {
        watch::look_again(&session);
    }
}

/// What a device says of itself.
struct Word {
    declared: Declared,
    open: Vec<ConversationId>,
}

fn read(payload: &Bytes) -> Result<Word, Outcome> {
    let refused = |reason: String| Outcome::refused(Code::PAYLOAD_INVALID, reason);
    let said = wire::Presence::decode(payload.clone()).map_err(|error| {
        refused(format!("the payload is not godwit.presence.v1.Presence: {error}"))
    })?;
    let declared = match wire::presence::State::try_from(said.state) {
        // A device that says nothing is in the foreground.
        Ok(wire::presence::State::Unspecified | wire::presence::State::Foreground) => {
            Declared::Foreground
        }
        Ok(wire::presence::State::Away) => Declared::Away,
        Ok(wire::presence::State::Background) => Declared::Background,
        Err(_) => return Err(refused("state: FOREGROUND, AWAY or BACKGROUND".to_owned())),
    };
    if said.open.len() > limits::OPEN_MAX {
        let (count, max) = (said.open.len(), limits::OPEN_MAX);
        return Err(refused(format!("{count} conversations are open, at most {max} may be")));
    }
    let mut open = Vec::with_capacity(said.open.len());
    for bytes in &said.open {
        let id = ConversationId::from_slice(bytes)
            .map_err(|_| refused("open: a conversation id must be 16 bytes".to_owned()))?;
        if !open.contains(&id) {
            open.push(id);
        }
    }
    Ok(Word { declared, open })
}

/// A device has published on `p`: all of it is taken, or nothing.
///
/// A Last Will on `p` comes here too, through the session that has ended: it says no more than the
/// end itself, whatever is in it.
pub(crate) fn publish(session: &Arc<DeviceSession>, payload: &Bytes, ack: Ack) {
    let word = match read(payload) {
        Ok(word) => word,
        Err(outcome) => return fate::refuse(session, &About::default(), outcome, ack),
    };
    let said = {
        let mut feeds = session.feeds.lock();
        if feeds.closed {
            return ack.settle(Outcome::SUCCESS);
        }
        let stance = feeds.stance_mut();
        stance.said += 1;
        stance.said
    };
    if let Some(open) = all_cached(session, &word.open) {
        take(session, said, word.declared, &open);
        return ack.settle(Outcome::SUCCESS);
    }
    {
        let mut feeds = session.feeds.lock();
        if feeds.queries >= limits::QUERIES_MAX {
            drop(feeds);
            let outcome = Outcome::throttled(ASK_AGAIN);
            return fate::refuse(session, &About::default(), outcome, ack);
        }
        feeds.queries += 1;
    }
    let session = Arc::clone(session);
    tokio::spawn(async move {
        let outcome = match all_read(&session, &word.open).await {
            Ok(Some(open)) => {
                take(&session, said, word.declared, &open);
                Outcome::SUCCESS
            }
            Ok(None) => {
                let reason = "open: not a member of one of these conversations";
                Outcome::refused(Code::NOT_AUTHORIZED, reason)
            }
            Err(error) => {
                retry::note("presence", &error);
                Outcome::throttled(ASK_AGAIN)
            }
        };
        session.feeds.lock().queries -= 1;
        if outcome.code.is_error() {
            fate::refuse(&session, &About::default(), outcome, ack);
        } else {
            ack.settle(outcome);
        }
    });
}

/// Conversations of which the user is a member.
type Open = Vec<(ConversationId, Arc<Known>)>;

/// `None`: one of them must be read.
fn all_cached(session: &DeviceSession, ids: &[ConversationId]) -> Option<Open> {
    let cached = |id: &ConversationId| {
        let known = session.inner.directory.cached(*id)?;
        known.member(&session.identity().user).is_some().then_some((*id, known))
    };
    ids.iter().map(cached).collect()
}

/// `None`: the user is no member of one of them.
async fn all_read(session: &DeviceSession, ids: &[ConversationId]) -> Result<Option<Open>, Error> {
    let (directory, user) = (&session.inner.directory, &session.identity().user);
    let mut open = Vec::with_capacity(ids.len());
    for id in ids {
        let mut known = directory.known(*id).await?;
        if known.as_ref().is_some_and(|known| known.member(user).is_none()) {
            // Absence is asked anew: the user may just have been added by another process.
            known = directory.read(*id).await?;
        }
        match known.filter(|known| known.member(user).is_some()) {
            Some(known) => open.push((*id, known)),
            None => return Ok(None),
        }
    }
    Ok(Some(open))
}

/// Takes a word that was found good, unless the device has said another meanwhile, or is gone.
fn take(session: &Arc<DeviceSession>, said: u64, declared: Declared, open: &Open) {
    let inner = &session.inner;
    if !watch::look(session, said, declared, open) {
        return;
    }
    let change = inner.presence.board.lock().declared(session.identity(), session.epoch, declared);
    pass_on(inner, change);
    if declared != Declared::Background {
        pull::start(session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(state: i32, open: Vec<Vec<u8>>) -> Bytes {
        let open = open.into_iter().map(Bytes::from).collect();
        wire::Presence { state, open }.encode_to_vec().into()
    }

    #[test]
    fn words() {
        use wire::presence::State;
        let word = read(&Bytes::new()).unwrap();
        assert_eq!((word.declared, word.open.len()), (Declared::Foreground, 0));
        let id = |i: u8| vec![i; 16];
        let word = read(&payload(State::Away as i32, vec![id(1), id(2), id(1)])).unwrap();
        assert_eq!(word.declared, Declared::Away);
        assert_eq!(word.open, [ConversationId([1; 16]), ConversationId([2; 16])]);
        let word = read(&payload(State::Background as i32, (0..16).map(id).collect())).unwrap();
        assert_eq!((word.declared, word.open.len()), (Declared::Background, 16));
        let table = [
            (payload(9, vec![]), "state"),
            (payload(1, (0..17).map(id).collect()), "17 conversations"),
            (payload(1, vec![id(1), vec![1; 15]]), "16 bytes"),
            (Bytes::from_static(b"\xff"), "Presence"),
        ];
        for (payload, word) in table {
            let outcome = read(&payload).map(|_| ()).unwrap_err();
            assert_eq!(outcome.code, Code::PAYLOAD_INVALID);
            assert!(format!("{outcome:?}").contains(word), "{outcome:?}");
        }
    }
}
