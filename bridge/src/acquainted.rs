//! `p/{user}` by name: for those who share a conversation with that user, for as long as they do.
//!
//! Who is told of whom is decided by what is on screen ([`crate::rooms`]); here a subscription that
//! can never be told anything again is ended, so that nobody keeps a list of strangers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use godwit_core::cursor::SubscriptionChange;
use godwit_core::ids::UserId;
use godwit_core::presence::Epoch;
use godwit_core::store::Error;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::inner::Inner;
use crate::retry;
use crate::session::DeviceSession;
use crate::topic::Target;

type Sessions = BTreeMap<Epoch, Weak<DeviceSession>>;

#[derive(Default)]
struct State {
    /// The devices that have subscribed to a user's presence by name. Bounded by the subscriptions
    /// of all devices: about 100 bytes each.
    naming: HashMap<UserId, Sessions>,
    /// Devices whose subscriptions are to be looked at again. Bounded by those in `naming`.
    dirty: Sessions,
}

/// Who has subscribed to whose presence.
#[derive(Default)]
pub(crate) struct Acquainted {
    state: Mutex<State>,
    wanted: Notify,
}

impl Acquainted {
    /// The device has subscribed to the presence of `user`.
    pub(crate) fn named(&self, session: &DeviceSession, user: &UserId) {
        let mut state = self.state.lock();
        let sessions = state.naming.entry(user.clone()).or_default();
        sessions.insert(session.epoch, session.me.clone());
    }

    /// It does so no more.
    pub(crate) fn dropped<'a>(
        &self,
        session: &DeviceSession,
        users: impl IntoIterator<Item = &'a UserId>,
    ) {
        let mut state = self.state.lock();
        for user in users {
            if let Some(sessions) = state.naming.get_mut(user) {
                sessions.remove(&session.epoch);
                if sessions.is_empty() {
                    state.naming.remove(user);
                }
            }
        }
    }

    /// The connection has ended.
    pub(crate) fn leave(&self, session: &DeviceSession) {
        let users = session.feeds.lock().named_users();
        if !users.is_empty() {
            self.dropped(session, &users);
            self.state.lock().dirty.remove(&session.epoch);
        }
    }

    /// The user is no member of some conversation any more: whoever has subscribed to it is looked
    /// at again.
    pub(crate) fn parted(&self, user: &UserId) {
        let mut state = self.state.lock();
        let Some(sessions) = state.naming.get(user).cloned() else { return };
        state.dirty.extend(sessions);
        drop(state);
        self.wanted.notify_one();
    }

    /// The device's own user has left a conversation, or the device comes with what it had before.
    pub(crate) fn look_again(&self, session: &DeviceSession) {
        self.state.lock().dirty.insert(session.epoch, session.me.clone());
        self.wanted.notify_one();
    }
}

/// Which of the users that are named share a conversation with the device's user; its own does.
pub(crate) async fn among(
    session: &DeviceSession,
    mut named: Vec<UserId>,
) -> Result<BTreeSet<UserId>, Error> {
    let me = &session.identity().user;
    let asks_for_itself = named.contains(me);
    named.retain(|user| user != me);
    let mut found = BTreeSet::new();
    if !named.is_empty() {
        found.extend(session.inner.store.acquainted(me, &named).await?);
    }
    found.extend(asks_for_itself.then(|| me.clone()));
    Ok(found)
}

/// Starts ending what has no reason any more.
pub(crate) fn start(inner: &Arc<Inner>) -> JoinHandle<()> {
    tokio::spawn(inner.supervisor.watch("who knows whom", run(Arc::clone(inner))))
}

async fn run(inner: Arc<Inner>) {
    loop {
        inner.acquainted.wanted.notified().await;
        let mut backoff = retry::Backoff::new();
        loop {
            let next = inner.acquainted.state.lock().dirty.pop_first();
            let Some((_, session)) = next else { break };
            let Some(session) = session.upgrade() else { continue };
            if let Err(error) = end_strangers(&session).await {
                retry::note("acquainted", &error);
                if !session.feeds.lock().closed {
                    inner.acquainted.look_again(&session);
                }
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

/// Ends the subscriptions to users with whom nothing is shared any more.
async fn end_strangers(session: &DeviceSession) -> Result<(), Error> {
    let named = session.feeds.lock().named_users();
    if named.is_empty() {
        return Ok(());
    }
    let still = among(session, named.clone()).await?;
    let gone: Vec<UserId> = named.into_iter().filter(|user| !still.contains(user)).collect();
    if gone.is_empty() {
        return Ok(());
    }
    if session.kept {
        // Both ways to write the filter reach the same.
        let both = |user: &UserId| [format!("p/{user}"), format!("p/{user}/#")];
        let remove = gone.iter().flat_map(both).collect();
        let change = SubscriptionChange { remove, ..SubscriptionChange::default() };
        session.inner.store.change_subscriptions(session.identity(), &change).await?;
    }
    {
        let mut feeds = session.feeds.lock();
        for user in &gone {
            feeds.remove(&Target::Presence(Some(user.clone())));
        }
    }
    session.inner.acquainted.dropped(session, &gone);
    Ok(())
}
