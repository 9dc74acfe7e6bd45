//! The store on Postgres 15 or newer: for many processes on one database.
//!
//! A batch is two statements: one reads, one writes if nothing moved in between, each a transaction
//! by itself. Only when another process was faster is it done again under locks.
//! It refuses to retry what failed: the caller knows how long its senders can wait.
//!
//! Read it in this order: this file, `connect`, `commit` (with `writers` and `recent`),
//! `conversations`, `changes`, `log`; `sessions`, `cursors`; `inbox`, `receipts`, `check`; `people`,
//! `devices`, `blocks`; `pool`, `upkeep`, `lease`.
//!
//! Locks are taken in this order, and several of a kind in the order of their keys: the hands of
//! those who block (advisory), devices, sessions, heads, members, then what goes with them.

mod blocks;
mod changes;
mod check;
mod commit;
mod connect;
mod conversations;
mod cursors;
mod devices;
mod error;
mod hold;
mod inbox;
mod invitations;
mod lease;
mod limits;
mod log;
mod notices;
mod offers;
mod people;
mod pool;
mod receipts;
mod recent;
mod revocations;
mod schema;
mod sessions;
mod upkeep;
mod writers;

use std::sync::Arc;
use std::time::Duration;

use godwit_core::change::{ChangeRequest, Refused};
use godwit_core::commit::{Committed, Send as SendRequest};
use godwit_core::cursor::{Behind, Feed, Move, Opened, Opening, SubscriptionChange};
use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, Identity, Seq, UserId};
use godwit_core::membership::{Conversation, Left, Member, NewConversation, Stay};
use godwit_core::notice::{Notice, Telling};
use godwit_core::offer::Offer;
use godwit_core::policy::{Invited, Policy, Strangers};
use godwit_core::pool::{Pools, Use};
use godwit_core::store::{Error, OutboxEvent, Page, Pending, Prune, Pruned, Range, Store};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

pub use crate::connect::Options;
pub use crate::lease::Lease;
use crate::pool::Pool;
use crate::recent::Recent;
use crate::writers::Writers;

/// The store in one Postgres database. Cloning shares its connections.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    /// For everything but reads, commits and changes.
    pool: Pool,
    readers: Pool,
    /// For what has to be decided under a conversation's lock.
    changes: Pool,
    session: Arc<PgConnectOptions>,
    writers: Writers,
    recent: Recent,
    operation_timeout: Duration,
}

impl PostgresStore {
    async fn begin(&self) -> Result<Transaction<'static, Postgres>, Error> {
        self.pool.begin().await
    }

    async fn begin_change(&self) -> Result<Transaction<'static, Postgres>, Error> {
        self.changes.begin().await
    }

    /// Bounds an operation: a server that hangs without closing its connections is away, too. What
    /// was cut off is undone by the server, or was done whole.
    fn bounded<'a, T: 'a>(
        &'a self,
        operation: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> Pending<'a, T> {
        Box::pin(async move {
            match tokio::time::timeout(self.operation_timeout, operation).await {
                Ok(result) => result,
                Err(elapsed) => Err(Error::Unavailable(Box::new(elapsed))),
            }
        })
    }
}

/// How a conversation's id is stored.
fn column(id: ConversationId) -> Uuid {
    Uuid::from_bytes(id.0)
}

impl Pools for PostgresStore {
    /// Those that read, that change conversations, that commit sends, and that do everything else.
    fn pools(&self) -> Vec<Use> {
        vec![self.readers.look(), self.changes.look(), self.writers.look(), self.pool.look()]
    }
}

impl Store for PostgresStore {
    fn commit<'a>(
        &'a self,
        batch: &'a [SendRequest],
        policy: &'a Policy,
    ) -> Pending<'a, Committed> {
        self.bounded(commit::commit(self, batch, policy))
    }

    fn create<'a>(&'a self, new: &'a NewConversation) -> Pending<'a, Conversation> {
        self.bounded(conversations::create(self, new))
    }

    fn direct<'a>(
        &'a self,
        one: &'a UserId,
        other: &'a UserId,
    ) -> Pending<'a, Option<ConversationId>> {
        self.bounded(conversations::direct(self, one, other))
    }

    fn change<'a>(
        &'a self,
        request: &'a ChangeRequest,
    ) -> Pending<'a, Result<(Entry, Conversation), Refused>> {
        self.bounded(changes::change(self, request))
    }

    fn stays<'a>(
        &'a self,
        id: ConversationId,
        after: Option<(Seq, UserId)>,
        limit: u32,
    ) -> Pending<'a, Vec<Stay>> {
        self.bounded(conversations::stays(self, id, after, limit))
    }

    fn left<'a>(&'a self, user: &'a UserId, since_ms: u64, limit: u32) -> Pending<'a, Vec<Left>> {
        self.bounded(conversations::left(self, user, since_ms, limit))
    }

    fn conversation(&self, id: ConversationId) -> Pending<'_, Option<Conversation>> {
        self.bounded(async move { conversations::get(&mut *self.readers.take().await?, id).await })
    }

    fn member<'a>(&'a self, id: ConversationId, user: &'a UserId) -> Pending<'a, Option<Member>> {
        self.bounded(async move {
            conversations::member(&mut *self.readers.take().await?, id, user).await
        })
    }

    fn acquainted<'a>(&'a self, user: &'a UserId, among: &'a [UserId]) -> Pending<'a, Vec<UserId>> {
        self.bounded(conversations::acquainted(self, user, among))
    }

    fn conversations_of<'a>(
        &'a self,
        user: &'a UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Pending<'a, Vec<Conversation>> {
        self.bounded(conversations::of_user(self, user, after, limit))
    }

    fn read_log(
        &self,
        id: ConversationId,
        range: Range,
        limit: u32,
        bytes_max: usize,
    ) -> Pending<'_, Option<Page>> {
        self.bounded(log::read(self, id, range, limit, bytes_max))
    }

    fn open_sessions<'a>(&'a self, batch: &'a [Opening]) -> Pending<'a, Vec<Opened>> {
        self.bounded(sessions::open(self, batch))
    }

    fn close_sessions<'a>(&'a self, batch: &'a [Opening]) -> Pending<'a, ()> {
        self.bounded(sessions::close(self, batch))
    }

    fn change_subscriptions<'a>(
        &'a self,
        device: &'a Identity,
        change: &'a SubscriptionChange,
    ) -> Pending<'a, ()> {
        self.bounded(sessions::change_subscriptions(self, device, change))
    }

    fn behind<'a>(
        &'a self,
        device: &'a Identity,
        feed: Feed,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Pending<'a, Vec<Behind>> {
        self.bounded(cursors::behind(self, device, feed, after, limit))
    }

    fn move_cursors<'a>(&'a self, moves: &'a [Move]) -> Pending<'a, ()> {
        self.bounded(cursors::advance(self, moves))
    }

    fn invite<'a>(
        &'a self,
        user: &'a UserId,
        others: &'a [UserId],
        strangers: &'a Strangers,
        time_ms: u64,
    ) -> Pending<'a, Invited> {
        self.bounded(invitations::invite(self, user, others, strangers, time_ms))
    }

    fn offer<'a>(&'a self, offers: &'a [Offer]) -> Pending<'a, ()> {
        self.bounded(offers::put(self, offers))
    }

    fn offers<'a>(&'a self, user: &'a UserId, since_ms: u64) -> Pending<'a, Vec<Offer>> {
        self.bounded(offers::list(self, user, since_ms))
    }

    fn take_offer<'a>(&'a self, user: &'a UserId, conversation: ConversationId) -> Pending<'a, ()> {
        self.bounded(offers::take(self, user, conversation))
    }

    fn tell<'a>(&'a self, tellings: &'a [Telling]) -> Pending<'a, ()> {
        self.bounded(notices::tell(self, tellings))
    }

    fn notices<'a>(
        &'a self,
        device: &'a Identity,
        feed: Feed,
        after: Option<Seq>,
        limit: u32,
    ) -> Pending<'a, Option<Vec<Notice>>> {
        self.bounded(notices::read(self, device, feed, after, limit))
    }

    fn outbox(&self, limit: u32) -> Pending<'_, Vec<OutboxEvent>> {
        self.bounded(upkeep::outbox(self, limit))
    }

    fn outbox_done<'a>(&'a self, ids: &'a [i64]) -> Pending<'a, ()> {
        self.bounded(upkeep::outbox_done(self, ids))
    }

    fn prune(&self, prune: Prune) -> Pending<'_, Pruned> {
        // Each of its steps is bounded, not the whole.
        Box::pin(upkeep::prune(self, prune))
    }

    fn ping(&self) -> Pending<'_, ()> {
        self.bounded(upkeep::ping(self))
    }

    fn probe(&self) -> Pending<'_, ()> {
        self.bounded(lease::probe(self))
    }
}
