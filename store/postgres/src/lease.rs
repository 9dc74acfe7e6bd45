//! Who serves from this database, and whether a commit would be taken.
//!
//! The lease is an advisory lock on a connection of its own: it falls with the process, or some
//! seconds after its machine has vanished. A row beside it says who holds it.

use std::time::{SystemTime, UNIX_EPOCH};

use godwit_core::store::{Error, Holder};
use godwit_core::stored::{self, signed};
use sqlx::{Connection as _, PgConnection};

use crate::PostgresStore;
use crate::error::from_driver;

/// The lease, held as long as this connection lives.
#[derive(Debug)]
pub struct Lease {
    connection: PgConnection,
    store: PostgresStore,
}

impl PostgresStore {
    /// Takes the lease, unless somebody holds it: `None`.
    pub async fn try_lease(&self) -> Result<Option<Lease>, Error> {
        self.bounded(async {
            let connection = PgConnection::connect_with(&self.session).await;
            let mut connection = connection.map_err(from_driver)?;
            let held = sqlx::query_file_scalar!("queries/leases/lock.sql")
                .fetch_one(&mut connection)
                .await
                .map_err(from_driver)?;
            Ok(held.then(|| Lease { connection, store: self.clone() }))
        })
        .await
    }

    /// Who held the lease last, or holds it.
    pub async fn holder(&self) -> Result<Holder, Error> {
        self.bounded(async {
            let row = sqlx::query_file!("queries/leases/get.sql")
                .fetch_one(&mut *self.readers.take().await?)
                .await
                .map_err(from_driver)?;
            let heartbeat_ms = stored::unsigned("heartbeat", row.heartbeat_ms)?;
            Ok(Holder { owner: row.owner, name: row.name, heartbeat_ms })
        })
        .await
    }
}

impl Lease {
    /// Writes that the holder lives. An error: the connection may be lost, and with it the lease.
    pub async fn beat(&mut self, holder: &Holder) -> Result<(), Error> {
        let (owner, name, at_ms) = (&holder.owner, &holder.name, signed(holder.heartbeat_ms));
        let connection = &mut self.connection;
        self.store
            .bounded(async move {
                sqlx::query_file!("queries/leases/beat.sql", owner, name, at_ms)
                    .execute(connection)
                    .await
                    .map_err(from_driver)?;
                Ok(())
            })
            .await
    }

    /// Gives it back.
    pub async fn release(self) {
        // It falls either way.
        let _ = self.connection.close().await;
    }
}

/// See [`godwit_core::store::Store::probe`].
pub(crate) async fn probe(store: &PostgresStore) -> Result<(), Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_us = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    let mut writer = store.writers.take().await?;
    let mut tx = writer.connection.begin().await.map_err(from_driver)?;
    sqlx::query_file!("queries/leases/attempt.sql", now_us)
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
    tx.rollback().await.map_err(from_driver)?;
    sqlx::query_file!("queries/leases/probe.sql", now_us / 1000)
        .execute(&mut writer.connection)
        .await
        .map_err(from_driver)?;
    writer.rest();
    Ok(())
}
