//! Which store, opened, and its schema as it must be.

use std::path::PathBuf;
use std::sync::Arc;

use godwit_core::pool::{Pools, Use};
use godwit_core::store::{self, Error, Holder, SchemaState, Store};
use godwit_core::tasks::contain;
use godwit_store_postgres::PostgresStore;
use godwit_store_sqlite::SqliteStore;

use crate::config::{Config, StoreKind};
use crate::failure::{Failure, Result};
use crate::limits::{MEND_WAIT_MAX, START_RETRY};
use crate::supervisor::{self, State};

/// An open store.
#[derive(Debug, Clone)]
pub(crate) enum Opened {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

/// What to do with a schema that lacks migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pending {
    /// Apply them: one process, one file, nobody to ask.
    Apply,
    /// Refuse: the operator chooses when, with other servers on the same database.
    Refuse,
}

impl Opened {
    /// Opens what the configuration names. The schema is left as it is.
    pub(crate) async fn open(config: &Config) -> Result<Self> {
        match config.store.kind {
            StoreKind::Sqlite => {
                let path = sqlite_file(config);
                let opened = SqliteStore::open(&path).await.map_err(|error| {
                    Failure::new(
                        format!("the database {} cannot be opened: {error}", path.display()),
                        "Check that the file is a Godwit database, that its directory is \
                         writable, and that the disk is not full.",
                    )
                })?;
                Ok(Self::Sqlite(opened))
            }
            StoreKind::Postgres => {
                let opened = postgres(config).await.map_err(|error| unreachable(&error))?;
                Ok(Self::Postgres(opened))
            }
        }
    }

    /// As [`Opened::open`], but waits for a Postgres that is not there yet: at a machine's boot it may
    /// come later. What a person must mend is a failure at once.
    pub(crate) async fn open_patiently(config: &Config) -> Result<Self> {
        if config.store.kind == StoreKind::Sqlite {
            return Self::open(config).await;
        }
        let mut wait = START_RETRY.0;
        loop {
            match postgres(config).await {
                Ok(opened) => return Ok(Self::Postgres(opened)),
                Err(error @ Error::Unavailable(_)) => {
                    tracing::warn!(%error, "waiting for Postgres");
                    supervisor::tell(State::Waiting);
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(START_RETRY.1);
                }
                Err(error) => return Err(unreachable(&error)),
            }
        }
    }

    /// Takes the lease, unless somebody holds it.
    pub(crate) async fn try_lease(&self) -> std::result::Result<Option<HeldLease>, Error> {
        Ok(match self {
            Self::Sqlite(store) => store.try_lease()?.map(HeldLease::Sqlite),
            Self::Postgres(store) => store.try_lease().await?.map(HeldLease::Postgres),
        })
    }

    /// Who held the lease last, or holds it.
    pub(crate) async fn holder(&self) -> std::result::Result<Holder, Error> {
        match self {
            Self::Sqlite(store) => store.holder().await,
            Self::Postgres(store) => store.holder().await,
        }
    }

    /// Takes cursors that stand above the end of their logs back to it: what was lost there is told
    /// in the log. A store that is large is served while the rest is looked at.
    pub(crate) async fn mend_cursors(&self) {
        let store = self.clone();
        let mend = async move {
            let mended = match &store {
                Self::Sqlite(store) => store.mend_cursors().await,
                Self::Postgres(store) => store.mend_cursors().await,
            };
            if let Err(error) = mended {
                tracing::warn!(%error, "cursors were not all compared with their logs");
            }
        };
        let mending = tokio::spawn(contain("mending of cursors", mend, |death| {
            tracing::error!(%death, "cursors were not all compared with their logs");
        }));
        let _ = tokio::time::timeout(MEND_WAIT_MAX, mending).await;
    }

    /// How the database's schema stands to this program.
    pub(crate) async fn status(&self) -> Result<SchemaState> {
        let status = match self {
            Self::Sqlite(store) => store.migrate_status().await,
            Self::Postgres(store) => store.migrate_status().await,
        };
        status.map_err(|error| unreadable(&error))
    }

    /// Applies what is pending.
    pub(crate) async fn up(&self) -> Result<SchemaState> {
        let before = self.status().await?;
        if before.newer_than_us {
            return Err(newer(before));
        }
        let after = match self {
            Self::Sqlite(store) => store.migrate_up().await,
            Self::Postgres(store) => store.migrate_up().await,
        };
        after.map_err(|error| {
            Failure::new(
                format!("the schema cannot be brought up: {error}"),
                "What was applied so far stays; after the cause is mended, run it again.",
            )
        })
    }

    /// Makes sure that this program may serve from the schema. SQLite is the server's own file, so
    /// it is always brought up; on Postgres `pending` says.
    pub(crate) async fn ensure(&self, pending: Pending) -> Result<()> {
        let state = self.status().await?;
        if state.newer_than_us {
            return Err(newer(state));
        }
        if state.is_current() {
            return Ok(());
        }
        if matches!(self, Self::Postgres(_)) && pending == Pending::Refuse {
            return Err(Failure::new(
                state.to_string(),
                "`godwit migrate up` with the same configuration applies what is pending.",
            ));
        }
        let after = self.up().await?;
        tracing::info!(schema.version = after.applied, "the schema was brought up");
        Ok(())
    }

    /// Notes that no device is connected: what a crash left open begins to expire at `now_ms`. For
    /// the only serving process of a database, before it serves.
    pub(crate) async fn nobody_connected(&self, now_ms: u64) -> Result<()> {
        let closed = match self {
            Self::Sqlite(store) => store.mark_all_closed(now_ms).await,
            Self::Postgres(store) => store.mark_all_closed(now_ms).await,
        };
        match closed {
            Ok(0) => Ok(()),
            Ok(sessions) => {
                tracing::info!(sessions, "sessions were open when the last server ended");
                Ok(())
            }
            Err(error) => Err(unreadable(&error)),
        }
    }

    /// How its connections are used.
    pub(crate) fn pools(&self) -> Vec<Use> {
        match self {
            Self::Sqlite(store) => Pools::pools(store),
            Self::Postgres(store) => Pools::pools(store),
        }
    }

    /// Gives back what it keeps in memory to be faster, as far as nobody uses it.
    pub(crate) async fn shrink(&self) {
        match self {
            Self::Sqlite(store) => store.shrink().await,
            // Postgres keeps its pages in processes of its own.
            Self::Postgres(_) => {}
        }
    }

    /// As the roles see it.
    pub(crate) fn port(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => Arc::new(store.clone()),
            Self::Postgres(store) => Arc::new(store.clone()),
        }
    }

    /// Commits that it takes at the same time.
    pub(crate) fn lanes(&self, configured: usize) -> usize {
        match self {
            Self::Sqlite(_) => 1,
            Self::Postgres(_) => configured,
        }
    }

    /// Closes its connections.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

/// The lease on an open store.
#[derive(Debug)]
pub(crate) enum HeldLease {
    Sqlite(godwit_store_sqlite::Lease),
    Postgres(godwit_store_postgres::Lease),
}

impl HeldLease {
    pub(crate) async fn beat(&mut self, holder: &Holder) -> std::result::Result<(), Error> {
        match self {
            Self::Sqlite(lease) => lease.beat(holder).await,
            Self::Postgres(lease) => lease.beat(holder).await,
        }
    }

    /// Whether it is held, though it could not be written.
    pub(crate) const fn outlives_errors(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    pub(crate) async fn release(self) {
        match self {
            Self::Sqlite(lease) => lease.release(),
            Self::Postgres(lease) => lease.release().await,
        }
    }
}

async fn postgres(config: &Config) -> std::result::Result<PostgresStore, Error> {
    let options = godwit_store_postgres::Options {
        connections_max: config.store.postgres_connections_max,
        operation_timeout: config.store.postgres_timeout,
        accept_data_loss: config.store.postgres_accept_data_loss,
    };
    PostgresStore::connect(config.store.postgres_url.expose(), options).await
}

/// The driver's message names host and database, not the password.
fn unreachable(error: &Error) -> Failure {
    Failure::new(
        format!("Postgres cannot be reached: {error}"),
        "Check store.postgres_url (postgres://user:password@host:port/database), and that Postgres \
         runs there, lets this user in and flushes its commits (store.postgres_accept_data_loss).",
    )
}

/// Where the SQLite database is.
pub(crate) fn sqlite_file(config: &Config) -> PathBuf {
    if config.store.sqlite_file.as_os_str().is_empty() {
        config.server.data_dir.join("godwit.db")
    } else {
        config.store.sqlite_file.clone()
    }
}

/// The schema is one of a later godwit.
pub(crate) fn newer(state: SchemaState) -> Failure {
    Failure::new(
        state.to_string(),
        "An older godwit must not write into a newer schema: it would not keep what it does not \
         know.",
    )
}

fn unreadable(error: &store::Error) -> Failure {
    Failure::new(
        format!("the database's schema cannot be read: {error}"),
        "Check that the database is Godwit's own, and that its user may read and write it.",
    )
}
