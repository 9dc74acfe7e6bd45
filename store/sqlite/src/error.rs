//! What SQLite says, as what the caller does next. What a sender sees of it stands in
//! `docs/store-errors.md`.

use godwit_core::store::Error;

/// What is done with an error of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    Away,
    Broken,
    Rejected,
}

/// SQLite's primary result codes and what they mean. Whatever is not here is broken: nobody is told a
/// refusal because of it. Source: <https://www.sqlite.org/rescode.html>.
const TABLE: &[(i32, Means)] = &[
    (1, Means::Broken),    // ERROR: a table is missing, a function failed
    (2, Means::Broken),    // INTERNAL
    (3, Means::Away),      // PERM: the file's mode was changed
    (4, Means::Away),      // ABORT: undone
    (5, Means::Away),      // BUSY: locked by another process
    (6, Means::Away),      // LOCKED
    (7, Means::Away),      // NOMEM
    (8, Means::Away),      // READONLY: the file or its file system, now
    (9, Means::Away),      // INTERRUPT: undone
    (10, Means::Away),     // IOERR
    (11, Means::Broken),   // CORRUPT
    (12, Means::Broken),   // NOTFOUND
    (13, Means::Away),     // FULL: the disk
    (14, Means::Away),     // CANTOPEN: descriptors used up, a directory gone
    (15, Means::Away),     // PROTOCOL: locks of the log were not had
    (16, Means::Broken),   // EMPTY
    (17, Means::Away),     // SCHEMA: changed under the statement, repeat it
    (18, Means::Rejected), // TOOBIG: this body, beyond a gigabyte
    (19, Means::Broken),   // CONSTRAINT: rows say otherwise than the head
    (20, Means::Broken),   // MISMATCH
    (21, Means::Broken),   // MISUSE
    (22, Means::Away),     // NOLFS: the file system ends here
    (23, Means::Away),     // AUTH
    (24, Means::Broken),   // FORMAT
    (25, Means::Broken),   // RANGE
    (26, Means::Broken),   // NOTADB
];

fn means(code: i32) -> Means {
    // The low byte of an extended code is its primary one.
    let found = TABLE.iter().find(|(primary, _)| *primary == code & 0xff);
    found.map_or(Means::Broken, |(_, means)| *means)
}

/// `SQLITE_IOERR_FSYNC`: the disk has lost a write, and will not say so again.
const LOST_FLUSH: &str = "1034";

/// Whether a flush has failed: what was written before it may be lost, too.
pub(crate) fn is_lost_flush(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == LOST_FLUSH)
}

/// Maps an error of the driver.
pub(crate) fn from_driver(error: sqlx::Error) -> Error {
    let means = match &error {
        sqlx::Error::Database(db) => {
            db.code().and_then(|code| code.parse().ok()).map_or(Means::Broken, means)
        }
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed
        | sqlx::Error::Io(_) => Means::Away,
        // What was read is not what was written, or the program is at fault.
        _ => Means::Broken,
    };
    match means {
        Means::Away => Error::Unavailable(Box::new(error)),
        Means::Broken => Error::Broken(Box::new(error)),
        Means::Rejected => Error::Rejected(Box::new(error)),
    }
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

    #[test]
    fn the_page_says_what_is_done() {
        let page = include_str!("../../../docs/store-errors.md");
        let (_, table) = page.split_once("## SQLite").unwrap();
        let mut rows = 0;
        for line in table.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            let code: i32 = cells[1].parse().unwrap();
            assert_eq!(format!("{:?}", super::means(code)).to_lowercase(), cells[3], "{code}");
            // An extended code is its primary one with more above.
            assert_eq!(super::means(code + 0x300), super::means(code));
            rows += 1;
        }
        assert_eq!(rows, super::TABLE.len());
    }

    /// Lets the file grow to so many pages: a full disk as SQLite reports it.
    async fn limit_pages(store: &SqliteStore, pages: u32) {
        let pragma = AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(pragma).execute(&store.writer()).await.unwrap();
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
