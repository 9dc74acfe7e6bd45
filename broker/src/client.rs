//! Who is known under a client id: at most one connection, and what is kept between two.

mod waiting;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytestring::ByteString;
use godwit_core::edge::{Admitted, Code, Delivery, Downlink as _, Message, Qos, Session};
use godwit_core::shrink::shrink;
use parking_lot::Mutex;

use crate::account::{Account, Accounts};
use crate::clock::now_s;
use crate::link::Link;
use crate::plain::{Bound, Plain};
use crate::replay::Replays;

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
    /// Bytes of it that its user's account knows of.
    counted: usize,
    /// Retained messages that it is owed.
    replays: Option<Box<Replays>>,
    /// Only while there is no connection.
    kept: Option<Box<Kept>>,
    will: Option<Box<DueWill>>,
    /// Plain filters in the router, each with the number of its replay (0: none).
    filters: HashMap<Box<str>, u64>,
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
    accounts: Arc<Accounts>,
    /// Its user's, once it has come as one.
    account: OnceLock<Arc<Account>>,
    /// It is owed retained messages.
    owed: AtomicBool,
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
    fn new(id: ByteString, accounts: Arc<Accounts>) -> Self {
        Self {
            id,
            turn: Arc::default(),
            claims: AtomicU64::new(0),
            accounts,
            account: OnceLock::new(),
            owed: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Changes what is kept here, and tells the accounts what has become of the queue.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let changed = change(&mut state);
        let bytes = state.plain.as_ref().map_or(0, |plain| plain.bytes());
        let before = std::mem::replace(&mut state.counted, bytes);
        if before != bytes {
            self.accounts.moved(self.account.get(), &self.id, (before, bytes));
        }
        changed
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
        self.change(|state| {
            if state.link.is_none() {
                (state.kept, state.will) = (None, None);
                self.forget_plain(state);
            }
        });
    }

    fn forget_plain(&self, state: &mut State) {
        (state.plain, state.replays) = (None, None);
        self.owed.store(false, Ordering::Relaxed);
    }

    /// The new connection is in force, of a user with this account; returns what was kept. `None`: the
    /// client has left the registry and must be looked up again.
    pub(crate) fn attach(&self, link: Arc<Link>, account: Option<&Arc<Account>>) -> Option<Found> {
        self.change(|state| {
            if state.gone {
                return None;
            }
            let kept = state.kept.take().filter(|kept| kept.until_s > now_s());
            if kept.is_none() {
                self.forget_plain(state);
            }
            if let Some(account) = account.filter(|_| state.counted == 0) {
                // A client id is one user's, always.
                let _ = self.account.set(Arc::clone(account));
            }
            if state.plain.as_ref().is_some_and(|plain| !plain.is_empty()) {
                link.nudge();
            }
            state.link = Some(link);
            let dropped = state.plain.as_ref().map_or(0, |plain| plain.dropped);
            Some(Found { kept, will: state.will.take(), dropped })
        })
    }

    /// The connection has ended. `kept`: the session goes on without it.
    pub(crate) fn detach(&self, kept: Option<Box<Kept>>, will: Option<Box<DueWill>>, bound: Bound) {
        let dropped = self.change(|state| {
            state.link = None;
            state.kept = kept;
            state.will = will;
            if state.kept.is_none() {
                self.forget_plain(state);
            }
            let dropped = state.plain.as_mut().map_or(0, |plain| plain.leave(bound));
            if state.plain.as_ref().is_some_and(|plain| plain.is_idle()) {
                state.plain = None;
            }
            dropped
        });
        self.note_dropped(dropped, dropped);
    }

    /// Forgets all that waits on plain topics: a new session begins.
    pub(crate) fn clear_plain(&self) {
        self.change(|state| self.forget_plain(state));
    }

    /// The plain filters.
    pub(crate) fn filters(&self) -> Vec<Box<str>> {
        self.state.lock().filters.keys().cloned().collect()
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
        if state.filters.contains_key(filter) {
            return Ok(false);
        }
        if state.filters.len() >= max {
            return Err(());
        }
        state.filters.insert(filter.into(), 0);
        Ok(true)
    }

    /// Whether these plain filters fit beside those that stand and those `promised`; then they are
    /// promised too. What does not fit is refused before anything above keeps it.
    pub(crate) fn promise(
        &self,
        filters: &[String],
        promised: &mut HashSet<String>,
        max: usize,
    ) -> bool {
        let state = self.state.lock();
        let stands = |filter: &str| state.filters.contains_key(filter);
        let new: Vec<_> = filters.iter().filter(|f| !promised.contains(*f) && !stands(f)).collect();
        if state.filters.len() + promised.len() + new.len() > max {
            return false;
        }
        promised.extend(new.into_iter().cloned());
        true
    }

    /// Forgets a plain filter; `false`: there was none.
    pub(crate) fn remove_filter(&self, filter: &str) -> bool {
        let mut state = self.state.lock();
        let Some(replay) = state.filters.remove(filter) else { return false };
        shrink(&mut state.filters);
        if let Some(replays) = &mut state.replays {
            replays.remove(replay);
        }
        true
    }

    /// Forgets all plain filters and returns them.
    pub(crate) fn take_filters(&self) -> Vec<Box<str>> {
        let mut state = self.state.lock();
        state.replays = None;
        self.owed.store(false, Ordering::Relaxed);
        std::mem::take(&mut state.filters).into_keys().collect()
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
    accounts: Arc<Accounts>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// Independent locks, so that a storm of connects does not queue at one.
const SHARDS: usize = 16;

impl Registry {
    pub(crate) fn new(accounts: Arc<Accounts>) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), accounts }
    }

    /// The queue of this client has grown: what its user has, or all have, comes within the bounds again.
    pub(crate) fn give_way(&self, client: &Arc<Client>) {
        while let Some((id, bytes)) = self.accounts.gives_way(client.account.get(), &client.id) {
            let gave = match self.find(&id).filter(|_| id != client.id) {
                Some(longest) => longest.give_way(bytes),
                None => client.give_way(bytes),
            };
            if !gave {
                // Many short queues of others: each gives way when it grows.
                return;
            }
        }
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
        let client = Arc::new(Client::new(id.clone(), Arc::clone(&self.accounts)));
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
