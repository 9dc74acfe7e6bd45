//! Who is in a conversation: members read from the store and cached until their version changes.

use std::collections::HashMap;
use std::sync::Arc;

use godwit_core::bus::Announcement;
use godwit_core::ids::{ConversationId, Seq, UserId};
use godwit_core::membership::Conversation;
use godwit_core::store::{Error, Store};
use parking_lot::Mutex;

use crate::limits;

/// What routing needs of a conversation, at one group version.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) group_version: u64,
    /// Members and the head when they joined: entries above it are theirs. Ordered by user.
    pub(crate) members: Vec<(UserId, Seq)>,
}

impl Known {
    fn of(conversation: &Conversation) -> Self {
        let mut members: Vec<_> =
            conversation.members.iter().map(|m| (m.user.clone(), m.joined_seq)).collect();
        members.sort();
        Self { group_version: conversation.group_version, members }
    }

    /// Where the user joined, if present.
    pub(crate) fn joined(&self, user: &UserId) -> Option<Seq> {
        let at = self.members.binary_search_by(|(u, _)| u.cmp(user)).ok()?;
        Some(self.members[at].1)
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
}

/// All conversations that are in use here.
pub(crate) struct Directory {
    store: Arc<dyn Store>,
    shards: Vec<Mutex<HashMap<ConversationId, Arc<Mutex<Route>>>>>,
}

impl Directory {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, shards: (0..limits::SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// The route of a conversation, made when it is new.
    pub(crate) fn route(&self, id: ConversationId) -> Arc<Mutex<Route>> {
        let mut shard = self.shards[usize::from(id.0[0]) % limits::SHARDS].lock();
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

    /// Reads the members; `None`: there is no such conversation.
    pub(crate) async fn read(&self, id: ConversationId) -> Result<Option<Arc<Known>>, Error> {
        let conversation = self.store.conversation(id).await?;
        Ok(conversation.map(|c| Arc::new(Known::of(&c))))
    }

    /// Where the user joined the conversation. `None`: no member, or no such conversation.
    ///
    /// A cached answer may be older than the store by the time an announcement takes; every
    /// delivery after it is checked against the announced group version again.
    pub(crate) async fn joined(
        &self,
        id: ConversationId,
        user: &UserId,
    ) -> Result<Option<Seq>, Error> {
        let cached = self.route(id).lock().known.clone();
        if let Some(seq) = cached.and_then(|known| known.joined(user)) {
            return Ok(Some(seq));
        }
        // Absence is asked anew: the user may just have been added by another process.
        Ok(self.read(id).await?.and_then(|known| known.joined(user)))
    }
}
