//! Who is in a conversation: members read from the store and cached until their version changes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use godwit_core::bus::Announcement;
use godwit_core::ids::{ConversationId, Seq, UserId};
use godwit_core::membership::{Conversation, ConversationKind, Member, Role};
use godwit_core::presence::Epoch;
use godwit_core::store::{Error, Store};
use parking_lot::{Mutex, RwLock};

use crate::faded::Faded;
use crate::limits;

/// A member, as far as routing needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Present {
    pub(crate) user: UserId,
    /// The head when the user joined: entries above it are delivered.
    pub(crate) joined: Seq,
    /// Entries above this place are the user's to see.
    pub(crate) visible: Seq,
    /// See [`godwit_core::membership::Member::tag`].
    pub(crate) tag: u32,
    pub(crate) role: Role,
}

/// What routing needs of a conversation, at one group version.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) group_version: u64,
    pub(crate) kind: ConversationKind,
    /// More members than `options.large_group_members`.
    pub(crate) large: bool,
    /// Ordered by user.
    pub(crate) members: Vec<Present>,
}

impl Present {
    fn of(member: &Member) -> Self {
        Self {
            user: member.user.clone(),
            joined: member.joined_seq,
            visible: member.visible_seq,
            tag: member.tag,
            role: member.role,
        }
    }
}

impl Known {
    fn of(conversation: &Conversation, large_above: usize) -> Self {
        let mut members: Vec<_> = conversation.members.iter().map(Present::of).collect();
        members.sort_by(|a, b| a.user.cmp(&b.user));
        Self {
            group_version: conversation.group_version,
            kind: conversation.kind,
            large: members.len() > large_above,
            members,
        }
    }

    /// The member, if present.
    pub(crate) fn member(&self, user: &UserId) -> Option<&Present> {
        let at = self.members.binary_search_by(|member| member.user.cmp(user)).ok()?;
        self.members.get(at)
    }

    /// Where the user joined, if present.
    pub(crate) fn joined(&self, user: &UserId) -> Option<Seq> {
        self.member(user).map(|member| member.joined)
    }

    /// The members but this one.
    pub(crate) fn others<'a>(&'a self, user: &'a UserId) -> impl Iterator<Item = &'a Present> {
        self.members.iter().filter(move |member| member.user != *user)
    }
}

/// The routing state of a conversation.
#[derive(Debug, Default)]
pub(crate) struct Route {
    pub(crate) known: Option<Arc<Known>>,
    /// Everything up to here has gone out from here, or was none of this process's to give out.
    /// `None`: not known yet.
    pub(crate) routed: Option<Seq>,
    /// Announcements that came while a task was at work here, in order.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// The log is known to reach at least to here, by an event or by an announcement for which
    /// there was no room.
    pub(crate) heard: Seq,
    /// What was heard of by an event and not announced in time.
    pub(crate) late: Option<Late>,
    /// A task reads what is missing and gives out what waits.
    pub(crate) working: bool,
    /// Entries that the pool of large groups still has to give out: until then the next ones go
    /// the same way, so that none overtakes another.
    pub(crate) pooled: usize,
    /// What came while the pool was full. The devices read it when the pool has given out what came
    /// before.
    pub(crate) overflow: Option<Overflow>,
}

/// Part of a log, from the first place to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overflow {
    pub(crate) from: Seq,
    pub(crate) to: Seq,
    /// As [`Waiting::before`], for all of it.
    pub(crate) before: Epoch,
}

/// An announcement that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) announcement: Announcement,
    /// Sessions from here on have begun after it had come, so after the commit: they have read the
    /// log since.
    pub(crate) before: Epoch,
}

/// An event came, and the announcement did not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Late {
    pub(crate) since: Instant,
    /// As [`Waiting::before`], for the entries up to `upto`.
    pub(crate) before: Epoch,
    pub(crate) upto: Seq,
}

impl Late {
    /// This one and a later one.
    pub(crate) fn and(self, later: Self) -> Self {
        Self {
            since: self.since.min(later.since),
            before: self.before.max(later.before),
            upto: self.upto.max(later.upto),
        }
    }
}

impl Route {
    /// Keeps an announcement for the task at work here. When there is no room the entry is read from
    /// the log, as if it had not been announced.
    pub(crate) fn wait(&mut self, announcement: Announcement, before: Epoch) {
        let bytes = self.waiting_bytes + announcement.entry.body.len();
        if self.waiting.len() < limits::WAITING_ANNOUNCEMENTS_MAX
            && bytes <= limits::WAITING_BYTES_MAX
        {
            self.waiting_bytes = bytes;
            self.waiting.push_back(Waiting { announcement, before });
        } else {
            self.heard = self.heard.max(announcement.entry.seq);
        }
    }

    /// There is nothing to route. The task at work, and the pool, go on.
    pub(crate) fn clear(&mut self) {
        let (working, pooled) = (self.working, self.pooled);
        *self = Self { working, pooled, ..Self::default() };
    }

    /// The first that waits: its place, and the group version that its members must have.
    pub(crate) fn first(&self) -> Option<(Seq, u64)> {
        let first = &self.waiting.front()?.announcement;
        Some((first.entry.seq, first.group_version))
    }

    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        let first = self.waiting.pop_front()?;
        self.waiting_bytes -= first.announcement.entry.body.len();
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Some(first)
    }

    /// An event tells of an entry. It is the first that this process hears of the conversation: all
    /// before it had its event before, and was given out, or was in the log when the sessions of
    /// this process began.
    pub(crate) fn begin_below(&mut self, seq: Seq) -> Seq {
        *self.routed.get_or_insert(Seq(seq.0.saturating_sub(1)))
    }
}

/// A sixteenth of the conversations that are in use here.
struct Shard {
    routes: HashMap<ConversationId, Arc<Mutex<Route>>>,
    faded: Faded,
}

impl Shard {
    /// The route of a conversation, made when it is new.
    fn route(&mut self, id: ConversationId) -> Arc<Mutex<Route>> {
        if let Some(route) = self.routes.get(&id) {
            return Arc::clone(route);
        }
        if self.routes.len() >= limits::CACHED_CONVERSATIONS_MAX {
            self.evict(limits::CACHED_CONVERSATIONS_MAX / 8);
        }
        let routed = self.faded.take(id, Instant::now());
        let route = Arc::new(Mutex::new(Route { routed, ..Route::default() }));
        self.routes.insert(id, Arc::clone(&route));
        route
    }

    /// Forgets routes that nothing is at work on. Ids are random, so the order of the map is as good
    /// as any.
    fn evict(&mut self, count: usize) {
        let (mut left, now) = (count, Instant::now());
        let faded = &mut self.faded;
        self.routes.retain(|id, route| {
            if left == 0 || Arc::strong_count(route) > 1 {
                return true;
            }
            left -= 1;
            if let Some(routed) = route.lock().routed {
                faded.put(*id, routed, now);
            }
            false
        });
    }
}

/// All conversations that are in use here.
pub(crate) struct Directory {
    store: Arc<dyn Store>,
    large_above: usize,
    shards: Vec<Mutex<Shard>>,
    large: Larges,
}

/// Large groups whose members were read here.
#[derive(Default)]
struct Larges {
    ids: RwLock<HashSet<ConversationId>>,
    /// How many: mostly none, and then no send looks for itself there.
    count: AtomicUsize,
}

impl Larges {
    fn note(&self, id: ConversationId, large: bool) {
        if self.holds(id) == large {
            return;
        }
        let mut ids = self.ids.write();
        if !large {
            ids.remove(&id);
        } else if ids.len() < limits::LARGE_GROUPS_MAX {
            ids.insert(id);
        }
        self.count.store(ids.len(), Ordering::Relaxed);
    }

    fn holds(&self, id: ConversationId) -> bool {
        self.count.load(Ordering::Relaxed) > 0 && self.ids.read().contains(&id)
    }
}

impl Directory {
    /// Conversations with more members than `large_above` are large groups.
    pub(crate) fn new(store: Arc<dyn Store>, large_above: usize) -> Self {
        let now = Instant::now();
        let shard = || Shard { routes: HashMap::new(), faded: Faded::new(now) };
        Self {
            store,
            large_above,
            shards: (0..limits::SHARDS).map(|_| Mutex::new(shard())).collect(),
            large: Larges::default(),
        }
    }

    fn shard(&self, id: ConversationId) -> &Mutex<Shard> {
        &self.shards[usize::from(id.0[0]) % limits::SHARDS]
    }

    /// The route of a conversation, made when it is new.
    pub(crate) fn route(&self, id: ConversationId) -> Arc<Mutex<Route>> {
        self.shard(id).lock().route(id)
    }

    /// The route of a conversation, if there is one.
    fn found(&self, id: ConversationId) -> Option<Arc<Mutex<Route>>> {
        self.shard(id).lock().routes.get(&id).cloned()
    }

    /// Forgets all routes that nothing is at work on, as when there are too many.
    pub(crate) fn evict_all(&self) {
        for shard in &self.shards {
            shard.lock().evict(usize::MAX);
        }
    }

    /// Routes there are.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().routes.len()).sum()
    }

    /// The members, if they are known and nothing says that they have changed.
    pub(crate) fn cached(&self, id: ConversationId) -> Option<Arc<Known>> {
        let route = self.found(id)?;
        let state = route.lock();
        if state.working { None } else { state.known.clone() }
    }

    /// Reads the members; `None`: there is no such conversation.
    pub(crate) async fn read(&self, id: ConversationId) -> Result<Option<Arc<Known>>, Error> {
        let Some(conversation) = self.store.conversation(id).await? else { return Ok(None) };
        let known = Known::of(&conversation, self.large_above);
        self.large.note(id, known.large);
        Ok(Some(Arc::new(known)))
    }

    /// Whether the conversation was a large group when its members were read last.
    pub(crate) fn is_large(&self, id: ConversationId) -> bool {
        self.large.holds(id)
    }

    /// The members, read when they are not cached, and cached then. `None`: there is no such
    /// conversation.
    pub(crate) async fn known(&self, id: ConversationId) -> Result<Option<Arc<Known>>, Error> {
        if let Some(known) = self.cached(id) {
            return Ok(Some(known));
        }
        let Some(fresh) = self.read(id).await? else { return Ok(None) };
        let route = self.route(id);
        let mut state = route.lock();
        if state.known.is_none() && !state.working {
            state.known = Some(Arc::clone(&fresh));
        }
        Ok(Some(fresh))
    }

    /// The user as a member of the conversation. `None`: no member, or no such conversation.
    ///
    /// A cached answer may be older than the store by the time an announcement takes; every
    /// delivery after it is checked against the announced group version again. Absence is asked
    /// anew, by one row: the user may just have been added by another process, and a stranger who
    /// names a conversation neither makes a route for it nor has its members read.
    pub(crate) async fn member(
        &self,
        id: ConversationId,
        user: &UserId,
    ) -> Result<Option<Present>, Error> {
        // Whoever asks may name any id: no route is made for it.
        let cached = self.found(id).and_then(|route| route.lock().known.clone());
        if let Some(member) = cached.and_then(|known| known.member(user).cloned()) {
            return Ok(Some(member));
        }
        Ok(self.store.member(id, user).await?.as_ref().map(Present::of))
    }

    /// The members, if the user is one of them. A stranger is told so by one row.
    pub(crate) async fn known_to(
        &self,
        id: ConversationId,
        user: &UserId,
    ) -> Result<Option<Arc<Known>>, Error> {
        let holds = |known: &Arc<Known>| known.member(user).is_some();
        if let Some(known) = self.cached(id).filter(holds) {
            return Ok(Some(known));
        }
        if self.store.member(id, user).await?.is_none() {
            return Ok(None);
        }
        match self.known(id).await?.filter(holds) {
            Some(known) => Ok(Some(known)),
            // What is cached is older than the user's coming.
            None => Ok(self.read(id).await?.filter(holds)),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use godwit_core::entry::{ChainHash, Entry, EntryKind};
    use godwit_core::ids::{DeviceId, MessageId};

    use super::*;

    fn id(number: usize) -> ConversationId {
        ConversationId((number as u128).to_be_bytes())
    }

    fn announcement(seq: u64, bytes: usize) -> Announcement {
        let entry = Entry {
            conversation: id(1),
            seq: Seq(seq),
            chain: ChainHash::default(),
            kind: EntryKind::Message,
            message_id: MessageId([1; 16]),
            sender: UserId::new("alice").unwrap(),
            device: DeviceId::new("phone").unwrap(),
            time_ms: 1,
            body: Bytes::from(vec![0; bytes]),
            reply_to: None,
            target: None,
            mentions: Vec::new(),
            number: seq,
            expires_ms: None,
            body_gone: false,
        };
        Announcement { entry: Arc::new(entry), group_version: 1 }
    }

    #[test]
    fn what_waits_for_a_route_is_bounded_in_number_and_bytes() {
        let (mut route, before) = (Route::default(), Epoch(1));
        for seq in 1..=limits::WAITING_ANNOUNCEMENTS_MAX as u64 + 5 {
            route.wait(announcement(seq, 1), before);
        }
        // The rest is read from the log, up to here.
        let last = limits::WAITING_ANNOUNCEMENTS_MAX as u64;
        assert_eq!((route.waiting.len() as u64, route.heard), (last, Seq(last + 5)));
        let taken = std::iter::from_fn(|| route.pop()).map(|w| w.announcement.entry.seq.0);
        assert!(taken.eq(1..=last));
        let mut route = Route::default();
        let half = limits::WAITING_BYTES_MAX / 2;
        for (seq, bytes) in [(1, half), (2, half), (3, 1), (4, 0)] {
            route.wait(announcement(seq, bytes), before);
        }
        assert_eq!((route.waiting.len(), route.heard), (3, Seq(3)));
        assert!(route.waiting_bytes <= limits::WAITING_BYTES_MAX);
        while route.pop().is_some() {}
        assert_eq!(route.waiting_bytes, 0);
    }

    #[test]
    fn routes_are_bounded_and_how_far_they_were_is_remembered() {
        let mut shard = Shard { routes: HashMap::new(), faded: Faded::new(Instant::now()) };
        let held = shard.route(id(0));
        for number in 0..limits::CACHED_CONVERSATIONS_MAX * 2 {
            let route = shard.route(id(number));
            route.lock().routed = Some(Seq(7));
            drop(route);
            assert!(shard.routes.len() <= limits::CACHED_CONVERSATIONS_MAX);
        }
        assert!(Arc::ptr_eq(&held, &shard.route(id(0))), "somebody is at work on it");
        let again = (1..limits::CACHED_CONVERSATIONS_MAX * 2).map(|number| shard.route(id(number)));
        assert!(again.take(100).all(|route| route.lock().routed == Some(Seq(7))));
    }

    #[test]
    fn large_groups_that_are_known_are_bounded() {
        let larges = Larges::default();
        for number in 0..limits::LARGE_GROUPS_MAX + 10 {
            larges.note(id(number), true);
        }
        assert!(larges.holds(id(0)) && !larges.holds(id(limits::LARGE_GROUPS_MAX)));
        larges.note(id(0), false);
        larges.note(id(limits::LARGE_GROUPS_MAX), true);
        assert!(!larges.holds(id(0)) && larges.holds(id(limits::LARGE_GROUPS_MAX)));
        assert_eq!(larges.count.load(Ordering::Relaxed), limits::LARGE_GROUPS_MAX);
    }
}
