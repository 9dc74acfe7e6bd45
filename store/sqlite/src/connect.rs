//! The connections: one that commits, one that writes what may be written again, some that read.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use godwit_core::store::Error;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, Sqlite, SqliteConnection, Transaction};

use crate::error::from_driver;
use crate::files::{Changed, Files};
use crate::turns::{Turn, Turns};
use crate::{SqliteStore, limits};

/// All connections. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Pools {
    /// One connection, whose commits are flushed.
    writer: SqlitePool,
    /// One connection, whose commits are flushed with the next one of the other.
    behind: SqlitePool,
    readers: SqlitePool,
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
        let behind = writing().connect_with(behind).await.map_err(from_driver)?;
        // Reading opens the log.
        sqlx::query_file_scalar!("queries/migrations/exist.sql")
            .fetch_one(&writer)
            .await
            .map_err(from_driver)?;
        let readers = pool(limits::READERS).connect_lazy_with(options.read_only(true));
        Ok(Self { writer, behind, readers })
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

/// A transaction that writes, in its turn. Dropped, it is undone.
#[derive(Debug)]
pub(crate) struct Write {
    tx: Transaction<'static, Sqlite>,
    turn: Turn,
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
        let Self { tx, turn, store } = self;
        tx.commit().await.map_err(from_driver)?;
        match store.files.look() {
            Ok(()) => Ok(()),
            Err(Changed::Log) => {
                tracing::error!(
                    database = %store.files.path().display(),
                    "the write-ahead log was deleted or replaced: it is copied into the database, \
                     sends wait"
                );
                tokio::spawn(heal(store, turn));
                Err(Error::Unavailable("the write-ahead log was deleted or replaced".into()))
            }
            Err(Changed::Database) => {
                let text = "the database file was deleted or replaced: nothing is acknowledged any \
                            more; bring it back and restart";
                tracing::error!(database = %store.files.path().display(), "{text}");
                Err(Error::Unavailable(text.into()))
            }
        }
    }

    /// Undoes it.
    pub(crate) async fn rollback(self) -> Result<(), Error> {
        self.tx.rollback().await.map_err(from_driver)
    }
}

/// Copies the log that is not there any more into the database and opens all anew; nobody writes
/// meanwhile.
async fn heal(store: SqliteStore, turn: Turn) {
    let pools = store.pools();
    // It answers in columns without a type, which the macros cannot check.
    let copied = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&pools.writer).await;
    if let Err(error) = copied {
        tracing::error!(%error, "the write-ahead log was not copied; closing tries it again");
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
            turns: Turns::new(),
            files: Arc::new(files),
        })
    }

    /// Closes all connections, after copying the write-ahead log into the database.
    pub async fn close(&self) {
        self.pools().close().await;
    }

    fn pools(&self) -> Pools {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn readers(&self) -> SqlitePool {
        self.pools().readers
    }

    /// The connection that writes, out of turn: for migrations, before anybody else writes.
    pub(crate) fn writer(&self) -> SqlitePool {
        self.pools().writer
    }

    /// Begins what a sender waits for: commits and changes.
    pub(crate) async fn begin_first(&self) -> Result<Write, Error> {
        let turn = self.turns.first().await?;
        self.write(self.pools().writer, turn).await
    }

    /// Begins anything else.
    pub(crate) async fn begin(&self) -> Result<Write, Error> {
        let turn = self.turns.behind().await?;
        self.write(self.pools().writer, turn).await
    }

    /// Begins what only costs a repetition when the machine's power is lost before the next commit.
    pub(crate) async fn begin_behind(&self) -> Result<Write, Error> {
        let turn = self.turns.behind().await?;
        self.write(self.pools().behind, turn).await
    }

    /// It takes SQLite's lock at once: a reader's that turned into a writer's could be refused
    /// halfway.
    async fn write(&self, pool: SqlitePool, turn: Turn) -> Result<Write, Error> {
        let tx = pool.begin_with("BEGIN IMMEDIATE").await.map_err(from_driver)?;
        Ok(Write { tx, turn, store: self.clone() })
    }
}
