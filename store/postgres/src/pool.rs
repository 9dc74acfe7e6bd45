//! Connections for one kind of work, and what is waited for them.

use godwit_core::pool::{Use, Waits};
use godwit_core::store::Error;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use sqlx::{Postgres, Transaction};

use crate::error::from_driver;

/// Some connections of the process. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    connections: PgPool,
    waits: Waits,
}

impl Pool {
    pub(crate) fn new(name: &'static str, connections: PgPool) -> Self {
        Self { connections, waits: Waits::new(name) }
    }

    /// Waits for a connection, for a statement that is a transaction by itself.
    pub(crate) async fn take(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.waits.during(self.connections.acquire()).await.map_err(from_driver)
    }

    /// Waits for a connection and begins a transaction.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>, Error> {
        self.waits.during(self.connections.begin()).await.map_err(from_driver)
    }

    pub(crate) async fn close(&self) {
        self.connections.close().await;
    }

    /// How they are used at this moment.
    pub(crate) fn look(&self) -> Use {
        let open = usize::try_from(self.connections.size()).unwrap_or(usize::MAX);
        self.waits.look(open, self.connections.num_idle())
    }
}
