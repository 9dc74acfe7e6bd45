//! The pool of connections, and what every connection is told.

use std::str::FromStr as _;
use std::time::Duration;

use godwit_core::store::Error;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use crate::PostgresStore;
use crate::error::from_driver;
use crate::limits;
use crate::recent::Recent;
use crate::writers::Writers;

/// How the store is connected.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Connections of this process, at most, besides the four that commit.
    pub connections_max: u32,
    /// The longest that an operation takes before the store counts as away.
    pub operation_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { connections_max: limits::CONNECTIONS, operation_timeout: limits::OPERATION }
    }
}

impl PostgresStore {
    /// Connects to the database that `url` names (`postgres://user:password@host:port/database`,
    /// with libpq's usual parameters) and looks whether it can be relied on. The schema is left as
    /// it is: see [`PostgresStore::migrate_status`].
    ///
    /// Errors: `Unavailable` when it does not answer; `Broken` when the URL, the credentials or
    /// the server's version are not right.
    pub async fn connect(url: &str, options: Options) -> Result<Self, Error> {
        let half = options.operation_timeout / 2;
        let session = session(url, half)?;
        // The first connection is made by hand: the pool would try until its time is up, and then
        // not say why.
        let probe = async {
            let mut connection = PgConnection::connect_with(&session).await.map_err(from_driver)?;
            check(&mut connection).await?;
            connection.close().await.map_err(from_driver)
        };
        match tokio::time::timeout(half, probe).await {
            Ok(result) => result?,
            Err(elapsed) => return Err(Error::Unavailable(Box::new(elapsed))),
        }
        let pool = PgPoolOptions::new()
            .max_connections(options.connections_max)
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
            .connect_lazy_with(session.clone());
        Ok(Self {
            pool,
            writers: Writers::new(session),
            recent: Recent::default(),
            operation_timeout: options.operation_timeout,
        })
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.writers.close().await;
        self.pool.close().await;
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

/// Refuses a server that is too old and warns of one that forgets.
async fn check(connection: &mut PgConnection) -> Result<(), Error> {
    let server = sqlx::query_file!("queries/migrations/server.sql")
        .fetch_one(connection)
        .await
        .map_err(from_driver)?;
    if server.version < limits::SERVER_VERSION_MIN {
        let (found, needed) = (server.version / 10_000, limits::SERVER_VERSION_MIN / 10_000);
        let text = format!("Postgres {found} is too old: version {needed} or newer is needed");
        return Err(Error::Broken(text.into()));
    }
    if server.synchronous_commit == "off" || server.fsync == "off" {
        tracing::warn!(
            synchronous_commit = server.synchronous_commit,
            fsync = server.fsync,
            "Postgres acknowledges commits that a crash may lose: so does Godwit"
        );
    }
    Ok(())
}
