//! The connections that commit.
//!
//! Few and apart from the pool: the one used last is used next, so that its process in Postgres and
//! its caches stay warm, and none is asked for a sign of life after each batch.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use godwit_core::pool::{Use, Waits};
use godwit_core::store::Error;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::from_driver;
use crate::limits;

/// Connections at rest, and the right to use so many.
#[derive(Debug, Clone)]
pub(crate) struct Writers {
    session: Arc<PgConnectOptions>,
    permits: Arc<Semaphore>,
    at_rest: Arc<Mutex<Vec<(PgConnection, Instant)>>>,
    waits: Waits,
}

/// A connection that is used. Dropped without [`Writer::rest`], it is closed: what it was doing is
/// undone by Postgres, or was done whole.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) connection: PgConnection,
    writers: &'a Writers,
    _permit: SemaphorePermit<'a>,
}

impl Writers {
    /// None is connected until it is needed.
    pub(crate) fn new(session: PgConnectOptions) -> Self {
        Self {
            session: Arc::new(session),
            permits: Arc::new(Semaphore::new(limits::WRITERS)),
            at_rest: Arc::default(),
            waits: Waits::new("commits"),
        }
    }

    /// Waits for the right, then takes the connection that was used last, or makes one.
    pub(crate) async fn take(&self) -> Result<Writer<'_>, Error> {
        self.waits.during(self.take_one()).await
    }

    async fn take_one(&self) -> Result<Writer<'_>, Error> {
        let permit = self.permits.acquire().await;
        // Closed with the store.
        let permit = permit.map_err(|_| from_driver(sqlx::Error::PoolClosed))?;
        while let Some((mut connection, since)) = self.pop() {
            // After a restart of Postgres in a quiet hour, the sender shall not notice.
            if since.elapsed() < limits::QUIET || connection.ping().await.is_ok() {
                return Ok(Writer { connection, writers: self, _permit: permit });
            }
        }
        let connection = PgConnection::connect_with(&self.session).await.map_err(from_driver)?;
        Ok(Writer { connection, writers: self, _permit: permit })
    }

    /// How they are used at this moment.
    pub(crate) fn look(&self) -> Use {
        let idle = self.at_rest.lock().unwrap_or_else(PoisonError::into_inner).len();
        let used = limits::WRITERS.saturating_sub(self.permits.available_permits());
        self.waits.look(idle + used, idle)
    }

    fn pop(&self) -> Option<(PgConnection, Instant)> {
        self.at_rest.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Closes those at rest and lets none be taken any more.
    pub(crate) async fn close(&self) {
        self.permits.close();
        while let Some((connection, _)) = self.pop() {
            // It is given up either way.
            let _ = connection.close().await;
        }
    }
}

impl Writer<'_> {
    /// Puts it back, after an operation that went well to its end.
    pub(crate) fn rest(self) {
        let mut at_rest = self.writers.at_rest.lock().unwrap_or_else(PoisonError::into_inner);
        at_rest.push((self.connection, Instant::now()));
    }
}
