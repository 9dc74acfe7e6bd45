//! What SQLite says, as what the caller does next.

use godwit_core::store::Error;

/// SQLite's primary result codes that pass by themselves or by an operator's hand: busy, locked,
/// read or write failed, disk full, no file could be opened (descriptors used up).
/// Source: <https://www.sqlite.org/rescode.html>.
const AWAY: [i32; 5] = [5, 6, 10, 13, 14];

/// Maps an error of the driver.
pub(crate) fn from_driver(error: sqlx::Error) -> Error {
    let away = match &error {
        sqlx::Error::Database(db) => db
            .code()
            .and_then(|code| code.parse::<i32>().ok())
            // The low byte of an extended code is its primary one.
            .is_some_and(|code| AWAY.contains(&(code & 0xff))),
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Io(_) => true,
        _ => false,
    };
    if away { Error::Unavailable(Box::new(error)) } else { Error::Broken(Box::new(error)) }
}

/// Maps an error of the migrations.
pub(crate) fn from_migration(error: sqlx::migrate::MigrateError) -> Error {
    match error {
        sqlx::migrate::MigrateError::Execute(error)
        | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => from_driver(error),
        other => Error::Broken(Box::new(other)),
    }
}

#[cfg(test)]
mod tests {
    use godwit_core::commit::Send as SendRequest;
    use godwit_core::conformance::support::{accepted, checked_log, cid, commit_one, group, send};
    use godwit_core::policy::Policy;
    use godwit_core::store::{Error, Store as _};
    use sqlx::AssertSqlSafe;

    use crate::SqliteStore;

    /// Lets the file grow to so many pages: a full disk as SQLite reports it.
    async fn limit_pages(store: &SqliteStore, pages: u32) {
        let pragma = AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(pragma).execute(&store.writer).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_disk_is_away_and_heals() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("godwit.db")).await.unwrap();
        store.migrate_up().await.unwrap();
        group(&store, cid(1), &["alice"]).await;
        let big =
            || SendRequest { body: vec![7; 200_000].into(), ..send(cid(1), "alice:d", "big") };
        limit_pages(&store, 40).await;
        let refused = store.commit(&[big()], &Policy::default()).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        limit_pages(&store, 1 << 30).await;
        assert!(!accepted(commit_one(&store, big()).await).2);
        assert_eq!(checked_log(&store, cid(1)).await.len(), 1);
    }
}
