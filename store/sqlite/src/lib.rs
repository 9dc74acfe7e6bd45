//! The store on SQLite: the embedded default, one file and nothing to install.
//!
//! One connection writes, four read beside it (write-ahead log). Every commit is flushed to the
//! disk before it returns (`synchronous = FULL`), because a PUBACK means COMMIT. It refuses to
//! share its file with another serving process in any useful way: a second writer waits.
//!
//! Read it in this order: this file, `commit`, `conversations`, `changes`, `log`, `sessions`,
//! `cursors`, `upkeep`; then what people see beside the log: `inbox`, `receipts`, `check`, `people`,
//! `devices`, `blocks`. `pack` says how a batch travels in one statement.

mod blocks;
mod changes;
mod check;
mod commit;
mod conversations;
mod cursors;
mod devices;
mod error;
mod inbox;
mod limits;
mod log;
mod pack;
mod people;
mod receipts;
mod revocations;
mod schema;
mod sessions;
mod upkeep;

use std::path::Path;

use godwit_core::change::{ChangeRequest, Refused};
use godwit_core::commit::{Committed, Send as SendRequest};
use godwit_core::cursor::{Behind, Feed, Move, Opened, Opening, SubscriptionChange};
use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, Identity, Seq, UserId};
use godwit_core::membership::{Conversation, Member, NewConversation, Stay};
use godwit_core::policy::Policy;
use godwit_core::store::{Error, OutboxEvent, Page, Pending, Prune, Pruned, Range, Store};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, Sqlite, Transaction};

use crate::error::from_driver;

/// The store in one SQLite file. Cloning shares it.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    /// One connection: SQLite has one writer, and a queue here is fair where its lock is not.
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens the file at `path`, or creates it (its directory must be there). The schema is left as
    /// it is: see [`SqliteStore::migrate_status`].
    ///
    /// Errors: `Unavailable` when the file cannot be opened or is locked; `Broken` when it is no
    /// database.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(limits::BUSY)
            // What was deleted or has expired shall not stay readable in free places of the file.
            .pragma("secure_delete", "ON")
            .pragma("wal_autocheckpoint", limits::CHECKPOINT_PAGES);
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(limits::ACQUIRE)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let writer = pool(1)
            // SQLite ends a transaction by itself when the disk fails, and the driver then miscounts
            // how deep it is: such a connection is closed, the next one is sound.
            .after_release(|connection, _| {
                Box::pin(async move {
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_with(options.clone())
            .await
            .map_err(from_driver)?;
        // The writer has made the file by now.
        let readers = pool(limits::READERS)
            .connect_lazy_with(options.create_if_missing(false).read_only(true));
        Ok(Self { writer, readers })
    }

    /// Closes all connections, after copying the write-ahead log into the database.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Begins a transaction that writes. It takes SQLite's lock at once: a reader's that turned
    /// into a writer's could be refused halfway.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(from_driver)
    }
}

impl Store for SqliteStore {
    fn commit<'a>(
        &'a self,
        batch: &'a [SendRequest],
        policy: &'a Policy,
    ) -> Pending<'a, Committed> {
        Box::pin(commit::commit(self, batch, policy))
    }

    fn create<'a>(&'a self, new: &'a NewConversation) -> Pending<'a, Conversation> {
        Box::pin(conversations::create(self, new))
    }

    fn direct<'a>(
        &'a self,
        one: &'a UserId,
        other: &'a UserId,
    ) -> Pending<'a, Option<ConversationId>> {
        Box::pin(conversations::direct(self, one, other))
    }

    fn change<'a>(
        &'a self,
        request: &'a ChangeRequest,
    ) -> Pending<'a, Result<(Entry, Conversation), Refused>> {
        Box::pin(changes::change(self, request))
    }

    fn stays<'a>(
        &'a self,
        id: ConversationId,
        after: Option<(Seq, UserId)>,
        limit: u32,
    ) -> Pending<'a, Vec<Stay>> {
        Box::pin(conversations::stays(self, id, after, limit))
    }

    fn conversation(&self, id: ConversationId) -> Pending<'_, Option<Conversation>> {
        Box::pin(conversations::get(&self.readers, id))
    }

    fn member<'a>(&'a self, id: ConversationId, user: &'a UserId) -> Pending<'a, Option<Member>> {
        Box::pin(conversations::member(&self.readers, id, user))
    }

    fn acquainted<'a>(&'a self, user: &'a UserId, among: &'a [UserId]) -> Pending<'a, Vec<UserId>> {
        Box::pin(conversations::acquainted(self, user, among))
    }

    fn conversations_of<'a>(
        &'a self,
        user: &'a UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Pending<'a, Vec<Conversation>> {
        Box::pin(conversations::of_user(self, user, after, limit))
    }

    fn read_log(
        &self,
        id: ConversationId,
        range: Range,
        limit: u32,
        bytes_max: usize,
    ) -> Pending<'_, Option<Page>> {
        Box::pin(log::read_log(self, id, range, limit, bytes_max))
    }

    fn open_sessions<'a>(&'a self, batch: &'a [Opening]) -> Pending<'a, Vec<Opened>> {
        Box::pin(sessions::open(self, batch))
    }

    fn close_sessions<'a>(&'a self, batch: &'a [Opening]) -> Pending<'a, ()> {
        Box::pin(sessions::close(self, batch))
    }

    fn change_subscriptions<'a>(
        &'a self,
        device: &'a Identity,
        change: &'a SubscriptionChange,
    ) -> Pending<'a, ()> {
        Box::pin(sessions::change_subscriptions(self, device, change))
    }

    fn behind<'a>(
        &'a self,
        device: &'a Identity,
        feed: Feed,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Pending<'a, Vec<Behind>> {
        Box::pin(cursors::behind(self, device, feed, after, limit))
    }

    fn move_cursors<'a>(&'a self, moves: &'a [Move]) -> Pending<'a, ()> {
        Box::pin(cursors::advance(self, moves))
    }

    fn outbox(&self, limit: u32) -> Pending<'_, Vec<OutboxEvent>> {
        Box::pin(upkeep::outbox(self, limit))
    }

    fn outbox_done<'a>(&'a self, ids: &'a [i64]) -> Pending<'a, ()> {
        Box::pin(upkeep::outbox_done(self, ids))
    }

    fn prune(&self, prune: Prune) -> Pending<'_, Pruned> {
        Box::pin(upkeep::prune(self, prune))
    }

    fn ping(&self) -> Pending<'_, ()> {
        Box::pin(upkeep::ping(self))
    }
}
