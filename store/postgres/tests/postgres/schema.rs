//! Migrations, and servers that are not what they should be.

use godwit_core::store::{Error, Store as _};
use godwit_store_postgres::PostgresStore;
use godwit_testkit::postgres;

use crate::{OPTIONS, connect, fresh};

#[tokio::test]
async fn a_new_database_is_migrated_once_by_whoever_comes_first() {
    let database = postgres::empty();
    let store = connect(database.url()).await;
    let before = store.migrate_status().await.unwrap();
    assert!(before.applied == 0 && before.pending > 1, "{before}");
    assert_eq!(database.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
    let other = connect(database.url()).await;
    let (one, two) = tokio::join!(store.migrate_up(), other.migrate_up());
    assert!(one.unwrap().is_current());
    let after = two.unwrap();
    assert_eq!((after.applied, after.pending), (after.known, 0));
}

#[tokio::test]
async fn a_newer_schema_is_seen_and_left_alone() {
    let fresh = fresh().await;
    let _ = fresh.database.ask(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (999, 'from the future', true, '\\x00', 0)",
    );
    let state = fresh.migrate_status().await.unwrap();
    assert!(state.newer_than_us && !state.is_current());
    assert!(state.to_string().contains("version 999, newer than this godwit"), "{state}");
    assert!(matches!(fresh.migrate_up().await, Err(Error::Broken(_))));
}

#[tokio::test]
async fn a_missing_schema_is_away_and_a_wrong_url_broken() {
    let database = postgres::empty();
    let bare = connect(database.url()).await;
    // Somebody may be about to bring it back.
    assert!(matches!(bare.outbox(1).await, Err(Error::Unavailable(_))));
    let no_such = format!("{}_nobody_made_this", database.url());
    for url in [no_such.as_str(), "postgres://no port:x/", "mysql://127.0.0.1/x"] {
        let refused = PostgresStore::connect(url, OPTIONS).await;
        assert!(matches!(refused, Err(Error::Broken(_))), "{url}: {refused:?}");
    }
}
