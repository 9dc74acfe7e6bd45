//! The connections: one that commits sends, one that writes everything else, some that read.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use godwit_core::pool::{self, Use};
use godwit_core::store::Error;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, Sqlite, SqliteConnection, Transaction};

use crate::error::{from_driver, is_lost_flush};
use crate::files::{Changed, Files};
use crate::flush::Flushes;
use crate::turns::{Turn, Turns};
use crate::{SqliteStore, limits};

/// All connections. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Pools {
    /// One connection, whose commits are flushed.
    writer: SqlitePool,
    /// One connection, whose commits are flushed with the next one of the other, or by [`Flushes`].
    behind: SqlitePool,
    /// How many rows the connection of `behind` had changed when it was asked last.
    changed: Arc<AtomicI64>,
    readers: SqlitePool,
}

/// What is waited for them, a turn to write included. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Waits {
    readers: pool::Waits,
    commits: pool::Waits,
    others: pool::Waits,
}

impl Waits {
    fn new() -> Self {
        let [readers, commits, others] = ["readers", "commits", "others"].map(pool::Waits::new);
        Self { readers, commits, others }
    }
}

impl Pools {
    async fn open(path: &Path, create: bool) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(create)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(limits::BUSY)
            // What was deleted or has expired shall not stay readable in free places of the file.
            .pragma("secure_delete", "ON")
            .pragma("wal_autocheckpoint", limits::CHECKPOINT_PAGES);
        let writer = writing().connect_with(options.clone()).await.map_err(from_driver)?;
        // The writer has made the file by now.
        let options = options.create_if_missing(false);
        let behind = options.clone().synchronous(SqliteSynchronous::Normal);
        let changed = Arc::new(AtomicI64::new(0));
        let counted = Arc::clone(&changed);
        // A new connection begins to count anew.
        let pool_behind = writing().after_connect(move |_, _| {
            counted.store(0, Ordering::SeqCst);
            Box::pin(async { Ok(()) })
        });
        let behind = pool_behind.connect_with(behind).await.map_err(from_driver)?;
        // Reading opens the log.
        sqlx::query_file_scalar!("queries/migrations/exist.sql")
            .fetch_one(&writer)
            .await
            .map_err(from_driver)?;
        let readers = pool(limits::READERS).connect_lazy_with(options.read_only(true));
        Ok(Self { writer, behind, changed, readers })
    }

    async fn close(&self) {
        self.readers.close().await;
        self.behind.close().await;
        self.writer.close().await;
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(limits::ACQUIRE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

fn writing() -> SqlitePoolOptions {
    // SQLite ends a transaction by itself when the disk fails, and the driver then miscounts how deep
    // it is: such a connection is closed, the next one is sound.
    pool(1).after_release(|connection, _| {
        Box::pin(async move {
            connection.ping().await?;
            Ok(!connection.is_in_transaction())
        })
    })
}

/// When a commit is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flush {
    /// In its turn, before it returns: sends and changes.
    Within,
    /// After its turn, before it returns, with others.
    Together,
    /// With the next commit of another: what only costs a repetition.
    Later,
}

/// A transaction that writes, in its turn. Dropped, it is undone.
#[derive(Debug)]
pub(crate) struct Write {
    tx: Transaction<'static, Sqlite>,
    turn: Turn,
    flush: Flush,
    changed: Arc<AtomicI64>,
    store: SqliteStore,
}

impl Deref for Write {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.tx
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.tx
    }
}

impl Write {
    /// Commits, and makes sure that a restart would find it.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        let Self { mut tx, turn, flush, changed, store } = self;
        let wrote = flush == Flush::Together && wrote(&mut tx, &changed).await?;
        tx.commit().await.map_err(|error| {
            if is_lost_flush(&error) {
                store.flushes.set_sick();
            }
            from_driver(error)
        })?;
        if store.flushes.is_sick() {
            let text = "what was written before may be lost: the log is copied into the database";
            tokio::spawn(heal(store, turn));
            return Err(Error::Unavailable(text.into()));
        }
        match store.files.look() {
            Ok(()) => {}
            Err(Changed::Log) => {
                tracing::error!(
                    database = %store.files.path().display(),
                    "the write-ahead log was deleted or replaced: it is copied into the database, \
                     sends wait"
                );
                tokio::spawn(heal(store, turn));
                return Err(Error::Unavailable(LOG_GONE.into()));
            }
            Err(Changed::Database) => return Err(store.replaced()),
        }
        if flush != Flush::Together {
            return Ok(());
        }
        let ticket = store.flushes.ticket(wrote);
        // Others write while this one waits for the disk.
        drop(turn);
        store.flushed(ticket).await
    }

    /// Undoes it.
    pub(crate) async fn rollback(self) -> Result<(), Error> {
        self.tx.rollback().await.map_err(from_driver)
    }
}

/// The log is not where a restart would look for it.
const LOG_GONE: &str = "the write-ahead log was deleted or replaced";

/// Whether the connection has changed a row since it was asked last, in this transaction or before it.
async fn wrote(connection: &mut SqliteConnection, changed: &AtomicI64) -> Result<bool, Error> {
    // The macros cannot know its type.
    let now: i64 = sqlx::query_scalar("SELECT total_changes()")
        .fetch_one(connection)
        .await
        .map_err(from_driver)?;
    Ok(changed.swap(now, Ordering::SeqCst) != now)
}

/// Copies the log that is not there any more, or is not sound, into the database and opens all anew;
/// nobody writes meanwhile.
async fn heal(store: SqliteStore, turn: Turn) {
    let pools = store.pools();
    // It answers in columns without a type, which the macros cannot check.
    let copied = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&pools.writer).await;
    match copied {
        Ok(_) => store.flushes.healed().await,
        Err(error) => {
            tracing::error!(%error, "the write-ahead log was not copied; closing tries it again");
        }
    }
    // The last connection that closes copies what is left.
    pools.close().await;
    loop {
        match Pools::open(store.files.path(), false).await {
            Ok(pools) => {
                *store.pools.write().unwrap_or_else(PoisonError::into_inner) = pools;
                store.files.note();
                tracing::info!("the database is open again, nothing of the log was lost");
                break;
            }
            Err(error) => {
                tracing::error!(%error, "the database cannot be opened again");
                tokio::time::sleep(limits::REOPEN).await;
            }
        }
    }
    drop(turn);
}

impl SqliteStore {
    /// Opens the file at `path`, or creates it (its directory must be there). The schema is left as
    /// it is: see [`SqliteStore::migrate_status`].
    ///
    /// Errors: `Unavailable` when the file cannot be opened or is locked; `Broken` when it is no
    /// database.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let pools = Pools::open(path, true).await?;
        let files = Files::new(path);
        files.note();
        Ok(Self {
            pools: Arc::new(RwLock::new(pools)),
            turns: Turns::new(limits::BURST),
            files: Arc::new(files),
            flushes: Arc::new(Flushes::default()),
            waits: Waits::new(),
        })
    }

    /// Waits until the disk has what a write with this ticket has put into the log.
    async fn flushed(&self, ticket: u64) -> Result<(), Error> {
        if let Err(error) = self.flushes.wait(ticket, || self.files.log()).await {
            tracing::error!(%error, "the write-ahead log was not flushed: sends wait until it is sound");
            return Err(from_driver(error.into()));
        }
        match self.files.look() {
            Ok(()) => Ok(()),
            Err(Changed::Log) => {
                // The next write heals it: that needs a turn.
                self.flushes.set_sick();
                Err(Error::Unavailable(LOG_GONE.into()))
            }
            Err(Changed::Database) => Err(self.replaced()),
        }
    }

    fn replaced(&self) -> Error {
        let text = "the database file was deleted or replaced: nothing is acknowledged any more; \
                    bring it back and restart";
        tracing::error!(database = %self.files.path().display(), "{text}");
        Error::Unavailable(text.into())
    }

    /// Closes all connections, after copying the write-ahead log into the database.
    pub async fn close(&self) {
        self.pools().close().await;
    }

    fn pools(&self) -> Pools {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a connection that reads, for a statement that sees one moment by itself.
    pub(crate) async fn reader(&self) -> Result<PoolConnection<Sqlite>, Error> {
        let readers = self.pools().readers;
        self.waits.readers.during(readers.acquire()).await.map_err(from_driver)
    }

    /// Waits for a connection that reads, and sees one moment until it is dropped.
    pub(crate) async fn begin_reading(&self) -> Result<Transaction<'static, Sqlite>, Error> {
        let readers = self.pools().readers;
        self.waits.readers.during(readers.begin()).await.map_err(from_driver)
    }

    /// Lets every connection that nobody uses forget the pages that it keeps: a crowd has filled them,
    /// 2 MiB each, and the next one reads them again from the system's cache.
    pub async fn shrink(&self) {
        let pools = self.pools();
        for pool in [&pools.readers, &pools.behind, &pools.writer] {
            // All that are idle, before the first of them is given back.
            let idle: Vec<_> = std::iter::from_fn(|| pool.try_acquire()).collect();
            for mut connection in idle {
                // It answers in no columns. What is not forgotten now is so by the next crowd.
                let _ = sqlx::raw_sql("PRAGMA shrink_memory").execute(&mut *connection).await;
            }
        }
    }

    /// The connection that writes, out of turn: for migrations, before anybody else writes.
    pub(crate) fn writer(&self) -> SqlitePool {
        self.pools().writer
    }

    /// Begins what a sender waits for: commits and changes.
    pub(crate) async fn begin_first(&self) -> Result<Write, Error> {
        let turn = self.turns.first();
        self.waits.commits.during(self.write(turn, Flush::Within)).await
    }

    /// Begins anything else. Its flush is after its turn, one for many.
    pub(crate) async fn begin(&self) -> Result<Write, Error> {
        let turn = self.turns.behind();
        self.waits.others.during(self.write(turn, Flush::Together)).await
    }

    /// Begins what only costs a repetition when the machine's power is lost before the next commit.
    pub(crate) async fn begin_behind(&self) -> Result<Write, Error> {
        let turn = self.turns.behind();
        self.waits.others.during(self.write(turn, Flush::Later)).await
    }

    /// It takes SQLite's lock at once: a reader's that turned into a writer's could be refused
    /// halfway.
    async fn write(
        &self,
        turn: impl Future<Output = Result<Turn, Error>>,
        flush: Flush,
    ) -> Result<Write, Error> {
        let turn = turn.await?;
        let Pools { writer, behind, changed, .. } = self.pools();
        let pool = if flush == Flush::Within { writer } else { behind };
        let tx = pool.begin_with("BEGIN IMMEDIATE").await.map_err(from_driver)?;
        Ok(Write { tx, turn, flush, changed, store: self.clone() })
    }
}

impl pool::Pools for SqliteStore {
    /// Those that read, that commit sends and changes, and that write everything else.
    fn pools(&self) -> Vec<Use> {
        let Pools { readers, writer, behind, .. } = SqliteStore::pools(self);
        let Waits { readers: reading, commits, others } = &self.waits;
        let all = [(reading, readers), (commits, writer), (others, behind)];
        let look = |(waits, pool): (&pool::Waits, SqlitePool)| {
            waits.look(usize::try_from(pool.size()).unwrap_or(usize::MAX), pool.num_idle())
        };
        all.map(look).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use godwit_core::conformance::support::{
        accepted, checked_log, cid, commit_one, group, keep, send,
    };
    use godwit_core::policy::Policy;
    use godwit_core::store::Store as _;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn after_a_flush_that_failed_nothing_counts_until_the_log_is_copied() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("godwit.db");
        let store = SqliteStore::open(&path).await.unwrap();
        store.migrate_up().await.unwrap();
        group(&store, cid(1), &["alice"]).await;
        let _ = accepted(commit_one(&store, send(cid(1), "alice:d", "before")).await);
        store.flushes.set_sick();
        let after = [send(cid(1), "alice:d", "after")];
        let refused = store.commit(&after, &Policy::default()).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        // The next one stands behind those who heal.
        keep(&store, &["alice:d"]).await;
        assert!(!store.flushes.is_sick());
        // What was in the log is in the database itself.
        let copy = tempfile::tempdir().unwrap();
        let copied = copy.path().join("godwit.db");
        std::fs::copy(&path, &copied).unwrap();
        let copied = SqliteStore::open(&copied).await.unwrap();
        assert_eq!(checked_log(&copied, cid(1)).await.len(), 2);
        let again = commit_one(&store, send(cid(1), "alice:d", "after")).await;
        assert_eq!(accepted(again).0, checked_log(&store, cid(1)).await[1].message_id);
    }
}
