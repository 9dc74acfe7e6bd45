//! The SQLite store against the port's conformance suite, and what only SQLite has.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are test code")]

mod beside;
mod durability;
mod harm;
mod loss;
mod plans;
#[path = "../../../property.rs"]
mod property;
mod schema;
mod upgrade;

use std::ops::Deref;
use std::path::PathBuf;

use godwit_store_sqlite::SqliteStore;
use tempfile::TempDir;

/// A migrated store in a directory of its own.
struct Fresh {
    store: SqliteStore,
    directory: TempDir,
}

impl Fresh {
    fn file(&self) -> PathBuf {
        self.directory.path().join("godwit.db")
    }
}

impl Deref for Fresh {
    type Target = SqliteStore;

    fn deref(&self) -> &SqliteStore {
        &self.store
    }
}

async fn fresh() -> Fresh {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&directory.path().join("godwit.db")).await.unwrap();
    store.migrate_up().await.unwrap();
    Fresh { store, directory }
}

godwit_core::store_conformance!(crate::fresh);
