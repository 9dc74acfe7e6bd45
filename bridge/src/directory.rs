//! Who is in a conversation: members read from the store and cached until their version changes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use godwit_core::bus::Announcement;
use godwit_core::ids::{ConversationId, Seq, UserId};
use godwit_core::membership::{Conversation, ConversationKind, Member, Role};
use godwit_core::store::{Error, Store};
use parking_lot::{Mutex, RwLock};

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
    /// The last entry that went out from here; `None`: none yet.
    pub(crate) routed: Option<Seq>,
    /// Announcements that came while the members were being read, in order.
    pub(crate) waiting: Vec<Announcement>,
    /// A task is reading the members.
    pub(crate) loading: bool,
    /// Entries that the pool of large groups still has to give out: until then the next ones go
    /// the same way, so that none overtakes another.
    pub(crate) pooled: usize,
    /// From the first place to the last: what came while the pool was full. The devices read it
    /// when the pool has given out what came before.
    pub(crate) overflow: Option<(Seq, Seq)>,
}

/// All conversations that are in use here.
pub(crate) struct Directory {
    store: Arc<dyn Store>,
    large_above: usize,
    shards: Vec<Mutex<HashMap<ConversationId, Arc<Mutex<Route>>>>>,
    /// Large groups whose members were read here.
    large: RwLock<HashSet<ConversationId>>,
    /// How many: mostly none, and then no send looks for itself there.
    large_count: AtomicUsize,
}

impl Directory {
    /// Conversations with more members than `large_above` are large groups.
    pub(crate) fn new(store: Arc<dyn Store>, large_above: usize) -> Self {
        Self {
            store,
            large_above,
            shards: (0..limits::SHARDS).map(|_| Mutex::default()).collect(),
            large: RwLock::default(),
            large_count: AtomicUsize::new(0),
        }
    }

    fn shard(&self, id: ConversationId) -> &Mutex<HashMap<ConversationId, Arc<Mutex<Route>>>> {
        &self.shards[usize::from(id.0[0]) % limits::SHARDS]
    }

    /// The route of a conversation, made when it is new.
    pub(crate) fn route(&self, id: ConversationId) -> Arc<Mutex<Route>> {
        let mut shard = self.shard(id).lock();
        if let Some(route) = shard.get(&id) {
            return Arc::clone(route);
        }
        if shard.len() >= limits::CACHED_CONVERSATIONS_MAX {
            // Ids are random, so the order of the map is as good as any. Routes at work (held by
            // someone else) stay.
            let mut left = shard.len() / 8;
            shard.retain(|_, route| {
                let spare = left > 0 && Arc::strong_count(route) == 1;
                left -= usize::from(spare);
                !spare
            });
        }
        let route = Arc::default();
        shard.insert(id, Arc::clone(&route));
        route
    }

    /// The members, if they are known and nothing says that they have changed.
    pub(crate) fn cached(&self, id: ConversationId) -> Option<Arc<Known>> {
        let route = self.shard(id).lock().get(&id).cloned()?;
        let state = route.lock();
        if state.loading { None } else { state.known.clone() }
    }

    /// Reads the members; `None`: there is no such conversation.
    pub(crate) async fn read(&self, id: ConversationId) -> Result<Option<Arc<Known>>, Error> {
        let Some(conversation) = self.store.conversation(id).await? else { return Ok(None) };
        let known = Known::of(&conversation, self.large_above);
        self.note_large(id, known.large);
        Ok(Some(Arc::new(known)))
    }

    fn note_large(&self, id: ConversationId, large: bool) {
        if self.is_large(id) == large {
            return;
        }
        let mut ids = self.large.write();
        if !large {
            ids.remove(&id);
        } else if ids.len() < limits::LARGE_GROUPS_MAX {
            ids.insert(id);
        }
        self.large_count.store(ids.len(), Ordering::Relaxed);
    }

    /// Whether the conversation was a large group when its members were read last.
    pub(crate) fn is_large(&self, id: ConversationId) -> bool {
        self.large_count.load(Ordering::Relaxed) > 0 && self.large.read().contains(&id)
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
        // Whatever is known there was put there with the cuts that it called for.
        if state.known.is_none() && !state.loading {
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
        let route = self.shard(id).lock().get(&id).cloned();
        let cached = route.and_then(|route| route.lock().known.clone());
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
