//! Migrations, and files that are not what they should be.

use godwit_core::store::{Error, Store as _};
use godwit_store_sqlite::SqliteStore;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use crate::fresh;

#[tokio::test]
async fn a_new_file_is_migrated_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&directory.path().join("new.db")).await.unwrap();
    let before = store.migrate_status().await.unwrap();
    assert!(before.applied == 0 && before.pending > 1, "{before}");
    assert!(before.to_string().contains("godwit migrate up"));
    let after = store.migrate_up().await.unwrap();
    assert!(after.is_current(), "{after}");
    assert_eq!(store.migrate_up().await.unwrap(), after);
    assert_eq!(after.applied, after.known);
}

#[tokio::test]
async fn a_newer_schema_is_seen_and_left_alone() {
    let fresh = fresh().await;
    let options = SqliteConnectOptions::new().filename(fresh.file());
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (999, 'from the future', 1, x'00', 0)",
    )
    .execute(&mut other)
    .await
    .unwrap();
    let state = fresh.migrate_status().await.unwrap();
    assert!(state.newer_than_us && !state.is_current());
    assert!(state.to_string().contains("version 999, newer than this godwit"), "{state}");
    assert!(matches!(fresh.migrate_up().await, Err(Error::Broken(_))));
}

#[tokio::test]
async fn a_missing_schema_and_a_foreign_file_are_broken_and_a_missing_directory_is_away() {
    let directory = tempfile::tempdir().unwrap();
    let bare = SqliteStore::open(&directory.path().join("bare.db")).await.unwrap();
    assert!(matches!(bare.outbox(1).await, Err(Error::Broken(_))));
    let foreign = directory.path().join("foreign.db");
    std::fs::write(&foreign, "this is no database".repeat(300)).unwrap();
    assert!(matches!(SqliteStore::open(&foreign).await, Err(Error::Broken(_))));
    let nowhere = directory.path().join("no/such/directory/x.db");
    assert!(matches!(SqliteStore::open(&nowhere).await, Err(Error::Unavailable(_))));
}
