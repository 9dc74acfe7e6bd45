//! Who is known under a client id: at most one connection, and what is kept between two.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytestring::ByteString;
use godwit_core::edge::{Admitted, Code, Delivery, Downlink as _, Message, Qos, Session};
use godwit_core::shrink::shrink;
use parking_lot::Mutex;

use crate::clock::now_s;
use crate::link::{Link, Queued};
use crate::metrics;
use crate::plain::{Bound, Plain};

/// A will, as CONNECT gave it.
#[derive(Debug, Clone)]
pub(crate) struct Will {
    pub(crate) message: Message,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    /// Seconds after the end of the connection, at most the session's expiry.
    pub(crate) delay_s: u32,
}

/// A will that waits for its delay; fired by the sweeper or by the end of the session.
pub(crate) struct DueWill {
    pub(crate) will: Will,
    pub(crate) admitted: Arc<Admitted>,
    pub(crate) session: Option<Arc<dyn Session>>,
    /// [`crate::clock::now_s`] seconds.
    pub(crate) due_s: u32,
}

/// What the end of a connection leaves behind of a kept session, beside its queue.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Sent but not acknowledged, with their packet ids, in order.
    pub(crate) inflight: Vec<(u16, Delivery)>,
    /// [`crate::clock::now_s`] seconds at which the session is over.
    pub(crate) until_s: u32,
}

#[derive(Default)]
struct State {
    link: Option<Arc<Link>>,
    /// What waits on plain topics, with a connection or without one.
    plain: Option<Box<Plain>>,
    /// Only while there is no connection.
    kept: Option<Box<Kept>>,
    will: Option<Box<DueWill>>,
    /// Plain filters in the router.
    filters: Vec<Box<str>>,
    /// The session is over and the client is out of the registry.
    gone: bool,
}

/// One client id.
pub(crate) struct Client {
    pub(crate) id: ByteString,
    /// Held by the connection that has the session, from the claim to the end of it. Nobody awaits a
    /// store while holding it, but for the session's opening, which is bounded.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Counts claims: only the newest waits for its turn.
    claims: AtomicU64,
    state: Mutex<State>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.id)
    }
}

/// What a new connection finds of the one before.
#[derive(Default)]
pub(crate) struct Found {
    /// A kept session that is not over.
    pub(crate) kept: Option<Box<Kept>>,
    pub(crate) will: Option<Box<DueWill>>,
    /// Messages that it lost and was not told of.
    pub(crate) dropped: u64,
}

/// The right to be a client's one connection.
pub(crate) type Turn = tokio::sync::OwnedMutexGuard<()>;

impl Client {
    fn new(id: ByteString) -> Self {
        Self { id, turn: Arc::default(), claims: AtomicU64::new(0), state: Mutex::default() }
    }

    /// Ends the earlier connection, if any, and waits until it is gone. `None`: a still newer
    /// connection has claimed meanwhile.
    pub(crate) async fn claim(&self) -> Option<Turn> {
        let claim = self.claims.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(link) = &self.state.lock().link {
            link.close(Code::TAKEN_OVER);
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        (self.claims.load(Ordering::SeqCst) == claim).then_some(turn)
    }

    /// The turn, if nobody has it.
    pub(crate) fn try_turn(&self) -> Option<Turn> {
        Arc::clone(&self.turn).try_lock_owned().ok()
    }

    /// The kept session is over.
    pub(crate) fn forget_kept(&self) {
        let mut state = self.state.lock();
        if state.link.is_none() {
            (state.kept, state.plain, state.will) = (None, None, None);
        }
    }

    /// The new connection is in force; returns what was kept. `None`: the client has left the
    /// registry and must be looked up again.
    pub(crate) fn attach(&self, link: Arc<Link>) -> Option<Found> {
        let mut state = self.state.lock();
        if state.gone {
            return None;
        }
        let kept = state.kept.take().filter(|kept| kept.until_s > now_s());
        if kept.is_none() {
            state.plain = None;
        }
        if state.plain.as_ref().is_some_and(|plain| !plain.is_empty()) {
            link.nudge();
        }
        state.link = Some(link);
        let dropped = state.plain.as_ref().map_or(0, |plain| plain.dropped);
        Some(Found { kept, will: state.will.take(), dropped })
    }

    /// The connection has ended. `kept`: the session goes on without it.
    pub(crate) fn detach(&self, kept: Option<Box<Kept>>, will: Option<Box<DueWill>>, bound: Bound) {
        let mut state = self.state.lock();
        state.link = None;
        state.kept = kept;
        state.will = will;
        if state.kept.is_none() {
            state.plain = None;
        }
        let dropped = state.plain.as_mut().map_or(0, |plain| plain.leave(bound));
        if state.plain.as_ref().is_some_and(|plain| plain.is_idle()) {
            state.plain = None;
        }
        drop(state);
        self.note_dropped(dropped, dropped);
    }

    /// Gives a plain message to the client, or keeps it while it is away. `false`: it went nowhere.
    pub(crate) fn offer(&self, delivery: Delivery, bound: Bound) -> bool {
        let (taken, total, link) = {
            let mut state = self.state.lock();
            let count = match (&state.link, &state.kept) {
                (Some(_), _) => bound.live.max(bound.away),
                (None, Some(_)) if delivery.qos == Qos::AtLeastOnce && bound.away > 0 => bound.away,
                _ => return false,
            };
            let plain = state.plain.get_or_insert_default();
            let taken = plain.push(delivery, count, bound.bytes);
            (taken, plain.dropped, state.link.clone())
        };
        match taken {
            Ok(dropped) => self.note_dropped(dropped, total),
            Err(()) => {
                metrics::dropped("queue_full");
                return false;
            }
        }
        if let Some(link) = link {
            link.nudge();
        }
        true
    }

    /// As [`Client::offer`], but nothing that waits goes for it: for what can be asked for again.
    pub(crate) fn offer_if_room(&self, delivery: Delivery, bound: Bound) -> bool {
        let bytes = Queued::bytes_of(&delivery);
        let fits = {
            let state = self.state.lock();
            let count = bound.live.max(bound.away);
            state.plain.as_ref().is_none_or(|plain| plain.has_room(bytes, count, bound.bytes))
        };
        if !fits {
            metrics::dropped("retained_beyond_queue");
        }
        fits && self.offer(delivery, bound)
    }

    /// `count` messages went just now, `total` since the client was told last.
    fn note_dropped(&self, count: u64, total: u64) {
        if count == 0 {
            return;
        }
        metrics::dropped_many("plain_queue_full", count);
        // The first of a row; the others are in the count that it is told.
        if count == total {
            tracing::info!(
                stage = "deliver",
                client.id = %self.id,
                "plain messages go unread: the client's queue is full, its oldest are dropped"
            );
        }
    }

    /// The client was told of so many dropped messages.
    pub(crate) fn told_dropped(&self, count: u64) {
        let mut state = self.state.lock();
        if let Some(plain) = &mut state.plain {
            plain.dropped = plain.dropped.saturating_sub(count);
            if plain.is_idle() {
                state.plain = None;
            }
        }
    }

    /// Gives the connection what waits, for as long as `want` wants the next one.
    pub(crate) fn drain(
        &self,
        link: &Link,
        want: impl FnMut(&Queued) -> bool,
        out: &mut Vec<Queued>,
    ) {
        let mut state = self.state.lock();
        let mut more = false;
        if let Some(plain) = &mut state.plain {
            plain.drain(want, out);
            more = !plain.is_empty();
            if plain.is_idle() {
                state.plain = None;
            }
        }
        link.has_plain.store(more, Ordering::Relaxed);
    }

    /// Forgets what waits on topics of which `may` says that they are not the client's to read.
    pub(crate) fn retain_plain(&self, may: impl Fn(&Delivery) -> bool) {
        if let Some(plain) = &mut self.state.lock().plain {
            plain.retain(may);
        }
    }

    /// Forgets all that waits on plain topics: a new session begins.
    pub(crate) fn clear_plain(&self) {
        self.state.lock().plain = None;
    }

    /// The plain filters.
    pub(crate) fn filters(&self) -> Vec<Box<str>> {
        self.state.lock().filters.clone()
    }

    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.state.lock().link.clone()
    }

    /// Whether anything is left to be kept once the connection is gone.
    pub(crate) fn has_filters(&self) -> bool {
        !self.state.lock().filters.is_empty()
    }

    /// Notes a plain filter. `Err`: too many; `Ok(false)`: it stood already.
    pub(crate) fn add_filter(&self, filter: &str, max: usize) -> Result<bool, ()> {
        let mut state = self.state.lock();
        if state.filters.iter().any(|f| **f == *filter) {
            return Ok(false);
        }
        if state.filters.len() >= max {
            return Err(());
        }
        state.filters.push(filter.into());
        Ok(true)
    }

    /// Whether these plain filters fit beside those that stand and those `promised`; then they are
    /// promised too. What does not fit is refused before anything above keeps it.
    pub(crate) fn promise(
        &self,
        filters: &[String],
        promised: &mut Vec<String>,
        max: usize,
    ) -> bool {
        let state = self.state.lock();
        let stands = |filter: &String| state.filters.iter().any(|f| **f == **filter);
        let new: Vec<_> = filters.iter().filter(|f| !promised.contains(f) && !stands(f)).collect();
        if state.filters.len() + promised.len() + new.len() > max {
            return false;
        }
        promised.extend(new.into_iter().cloned());
        true
    }

    /// Forgets a plain filter; `false`: there was none.
    pub(crate) fn remove_filter(&self, filter: &str) -> bool {
        let mut state = self.state.lock();
        let before = state.filters.len();
        state.filters.retain(|f| **f != *filter);
        state.filters.len() != before
    }

    /// Forgets all plain filters and returns them.
    pub(crate) fn take_filters(&self) -> Vec<Box<str>> {
        std::mem::take(&mut self.state.lock().filters)
    }

    /// What is due at `now_s` for an absent client: its will, and whether its session is over.
    pub(crate) fn due(&self, now_s: u32) -> (Option<Box<DueWill>>, bool) {
        let mut state = self.state.lock();
        if state.link.is_some() {
            return (None, false);
        }
        let over = state.kept.as_ref().is_some_and(|kept| kept.until_s <= now_s);
        let will = match &state.will {
            Some(will) if over || will.due_s <= now_s => state.will.take(),
            _ => None,
        };
        (will, over || (state.kept.is_none() && state.will.is_none()))
    }
}

/// All clients that are connected or kept.
pub(crate) struct Registry {
    shards: Vec<Mutex<HashMap<ByteString, Arc<Client>>>>,
}

/// Independent locks, so that a storm of connects does not queue at one.
const SHARDS: usize = 16;

impl Registry {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    fn shard(&self, id: &str) -> &Mutex<HashMap<ByteString, Arc<Client>>> {
        // FNV-1a: the ids are short and come from authenticated clients.
        let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
        });
        &self.shards[(hash >> 32) as usize % SHARDS]
    }

    /// The client of this id, made when it is new.
    pub(crate) fn client(&self, id: &ByteString) -> Arc<Client> {
        let mut shard = self.shard(id).lock();
        if let Some(client) = shard.get(id) {
            return Arc::clone(client);
        }
        let client = Arc::new(Client::new(id.clone()));
        shard.insert(id.clone(), Arc::clone(&client));
        client
    }

    /// The client of this id, if it is known.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<Client>> {
        self.shard(id).lock().get(id).cloned()
    }

    /// Forgets a client that has neither connection nor anything kept. A connection that found it
    /// meanwhile will see that it is gone and look again.
    pub(crate) fn forget(&self, client: &Arc<Client>) -> bool {
        let mut shard = self.shard(&client.id).lock();
        let mut state = client.state.lock();
        if state.link.is_some() || state.kept.is_some() || state.will.is_some() {
            return false;
        }
        state.gone = true;
        if shard.get(&client.id).is_some_and(|c| Arc::ptr_eq(c, client)) {
            shard.remove(&client.id);
            shrink(&mut shard);
        }
        true
    }

    /// Calls `each` for every client, one shard at a time, outside of the shard's lock.
    pub(crate) fn each(&self, mut each: impl FnMut(&Arc<Client>)) {
        for shard in &self.shards {
            let clients: Vec<_> = shard.lock().values().cloned().collect();
            clients.iter().for_each(&mut each);
        }
    }

    /// Clients connected or kept.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|s| s.lock().len()).sum()
    }
}
