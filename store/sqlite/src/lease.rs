//! Who serves from this file, and whether a commit would be taken.
//!
//! The lease is the kernel's lock on a file beside the database: it falls with the process. A row in
//! the database says who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::time::{SystemTime, UNIX_EPOCH};

use godwit_core::store::{Error, Holder};
use godwit_core::stored::{self, signed};

use crate::SqliteStore;
use crate::error::from_driver;

/// The lease, held as long as this lives.
#[derive(Debug)]
pub struct Lease {
    _file: File,
    store: SqliteStore,
}

impl SqliteStore {
    /// Takes the lease, unless somebody holds it: `None`.
    pub fn try_lease(&self) -> Result<Option<Lease>, Error> {
        // The name that all links lead to.
        let path = std::fs::canonicalize(self.files.path());
        let mut path = path.map_err(|error| from_driver(error.into()))?.into_os_string();
        path.push(".lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| from_driver(error.into()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lease { _file: file, store: self.clone() })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(from_driver(error.into())),
        }
    }

    /// Who held the lease last, or holds it.
    pub async fn holder(&self) -> Result<Holder, Error> {
        let row = sqlx::query_file!("queries/leases/get.sql")
            .fetch_one(&mut *self.reader().await?)
            .await
            .map_err(from_driver)?;
        let heartbeat_ms = stored::unsigned("heartbeat", row.heartbeat_ms)?;
        Ok(Holder { owner: row.owner, name: row.name, heartbeat_ms })
    }
}

impl Lease {
    /// Writes that the holder lives, and looks whether the files are still there.
    pub async fn beat(&mut self, holder: &Holder) -> Result<(), Error> {
        let (owner, name, at_ms) = (&holder.owner, &holder.name, signed(holder.heartbeat_ms));
        let mut tx = self.store.begin_behind().await?;
        sqlx::query_file!("queries/leases/beat.sql", owner, name, at_ms)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
        tx.commit().await
    }

    /// Gives it back.
    pub fn release(self) {}
}

/// See [`godwit_core::store::Store::probe`].
pub(crate) async fn probe(store: &SqliteStore) -> Result<(), Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let mut tx = store.begin().await?;
    sqlx::query_file!("queries/leases/attempt.sql").execute(&mut *tx).await.map_err(from_driver)?;
    sqlx::query_file!("queries/leases/attempt_event.sql")
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
    tx.rollback().await?;
    let mut tx = store.begin().await?;
    sqlx::query_file!("queries/leases/probe.sql", now_ms)
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
    tx.commit().await
}
