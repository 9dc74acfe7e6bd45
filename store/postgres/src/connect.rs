//! The pool of connections, and what every connection is told.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use godwit_core::store::Error;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use crate::PostgresStore;
use crate::error::{from_driver, from_first};
use crate::limits;
use crate::pool::Pool;
use crate::recent::Recent;
use crate::writers::Writers;

/// How the store is connected.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Connections of this process, at most, besides the four that commit and the one that holds the
    /// lease. See [`limits::CONNECTIONS`] for their shares; each share has one at least.
    pub connections_max: u32,
    /// The longest that an operation takes before the store counts as away.
    pub operation_timeout: Duration,
    /// Serve from a Postgres that does not flush its commits (`fsync = off`): a crash of its machine
    /// loses what was acknowledged. For tests.
    pub accept_data_loss: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS,
            operation_timeout: limits::OPERATION,
            accept_data_loss: false,
        }
    }
}

impl PostgresStore {
    /// Connects to the database that `url` names (`postgres://user:password@host:port/database`,
    /// with libpq's usual parameters) and looks whether it can be relied on. The schema is left as
    /// it is: see [`PostgresStore::migrate_status`].
    ///
    /// Errors: `Unavailable` when it does not answer, or not yet: it may be waited for; `Broken` when a
    /// person must mend it: the URL, the credentials, the database's name, the server's version, or
    /// that it does not flush.
    pub async fn connect(url: &str, options: Options) -> Result<Self, Error> {
        let half = options.operation_timeout / 2;
        let session = session(url, half)?;
        // The first connection is made by hand: the pool would try until its time is up, and then
        // not say why.
        let probe = async {
            let mut connection = PgConnection::connect_with(&session).await.map_err(from_first)?;
            check(&mut connection, options).await?;
            connection.close().await.map_err(from_driver)
        };
        match tokio::time::timeout(half, probe).await {
            Ok(result) => result?,
            Err(elapsed) => return Err(Error::Unavailable(Box::new(elapsed))),
        }
        let pool = |connections: u32| {
            PgPoolOptions::new()
                .max_connections(connections.max(1))
                .acquire_timeout(half)
                .test_before_acquire(false)
                .before_acquire(|connection, meta| {
                    Box::pin(async move {
                        if meta.idle_for > limits::QUIET {
                            connection.ping().await?;
                        }
                        Ok(true)
                    })
                })
                .connect_lazy_with(session.clone())
        };
        let (all, quarter) = (options.connections_max, options.connections_max / 4);
        Ok(Self {
            readers: Pool::new("readers", pool(all / 2)),
            changes: Pool::new("changes", pool(quarter)),
            pool: Pool::new("others", pool(all.saturating_sub(all / 2 + quarter))),
            session: Arc::new(session.clone()),
            writers: Writers::new(session),
            recent: Recent::default(),
            operation_timeout: options.operation_timeout,
        })
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.writers.close().await;
        self.changes.close().await;
        self.pool.close().await;
        self.readers.close().await;
    }
}

/// What each session is told when it connects.
fn session(url: &str, statement_timeout: Duration) -> Result<PgConnectOptions, Error> {
    // The driver reads any URL as its own.
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(Error::Broken("the database's URL must start with postgres://".into()));
    }
    let timeout_ms = statement_timeout.as_millis().to_string();
    let options = PgConnectOptions::from_str(url)
        .map_err(from_driver)?
        .application_name("godwit")
        .disable_statement_logging()
        .options([
            // A hung or locked database shows as away instead of holding callers forever.
            ("statement_timeout", timeout_ms.as_str()),
            // A PUBACK means COMMIT, whatever the database's default is.
            ("synchronous_commit", "on"),
            ("tcp_keepalives_idle", limits::KEEPALIVE[0]),
            ("tcp_keepalives_interval", limits::KEEPALIVE[1]),
            ("tcp_keepalives_count", limits::KEEPALIVE[2]),
            ("lock_timeout", timeout_ms.as_str()),
            // Locks of a process that vanished without a word are released.
            ("idle_in_transaction_session_timeout", timeout_ms.as_str()),
            // All queries probe an index at any size. Plans are made once, also while the tables
            // are small and a scan of a table or of a whole index looks cheap, and are kept as they
            // grow.
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("random_page_cost", "0"),
            ("jit", "off"),
        ]);
    Ok(options)
}

/// Refuses a server that is too old or that forgets.
async fn check(connection: &mut PgConnection, options: Options) -> Result<(), Error> {
    let server = sqlx::query_file!("queries/migrations/server.sql")
        .fetch_one(connection)
        .await
        .map_err(from_driver)?;
    if server.version < limits::SERVER_VERSION_MIN {
        let (found, needed) = (server.version / 10_000, limits::SERVER_VERSION_MIN / 10_000);
        let text = format!("Postgres {found} is too old: version {needed} or newer is needed");
        return Err(Error::Broken(text.into()));
    }
    // The session has set it: a pooler in between that drops what sessions set would be seen here.
    let forgets = server.synchronous_commit == "off" || server.fsync == "off";
    if forgets && !options.accept_data_loss {
        let text = format!(
            "Postgres acknowledges commits that a crash loses (fsync = {}, synchronous_commit = {})",
            server.fsync, server.synchronous_commit
        );
        return Err(Error::Broken(text.into()));
    }
    if forgets || server.full_page_writes == "off" {
        // Right on file systems whose writes are whole (ZFS); elsewhere a crash may tear pages.
        tracing::warn!(
            fsync = server.fsync,
            synchronous_commit = server.synchronous_commit,
            full_page_writes = server.full_page_writes,
            "a crash of Postgres' machine may damage or lose what was acknowledged"
        );
    }
    Ok(())
}
