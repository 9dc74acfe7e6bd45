//! What survives: another opening of the file, a crash, another writer, a caller that went away.

use std::future::poll_fn;
use std::task::Poll;

use godwit_core::conformance::support::{
    NOW, accepted, checked_log, cid, commit, commit_one, group, keep, open_one, opening, say, send,
};
use godwit_core::policy::Policy;
use godwit_core::store::{Error, Prune, Store};
use godwit_store_sqlite::SqliteStore;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use crate::fresh;

#[tokio::test]
async fn an_acknowledged_message_is_in_the_file() {
    let fresh = fresh().await;
    group(&fresh.store, cid(1), &["alice"]).await;
    say(&fresh.store, cid(1), "alice:d", 5).await;
    // What a crash would leave: a copy taken while the store is open and nothing was checkpointed.
    let copy = tempfile::tempdir().unwrap();
    for file in ["godwit.db", "godwit.db-wal"] {
        let from = fresh.directory.path().join(file);
        std::fs::copy(&from, copy.path().join(file)).unwrap();
    }
    let after = SqliteStore::open(&copy.path().join("godwit.db")).await.unwrap();
    assert_eq!(checked_log(&after, cid(1)).await.len(), 5);
    after.close().await;
    fresh.store.close().await;
    assert!(matches!(fresh.ping().await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn sessions_left_open_by_a_crash_expire_some_day() {
    let fresh = fresh().await;
    keep(&fresh.store, &["alice:d"]).await;
    open_one(&fresh.store, opening("alice:e", false, 60)).await;
    fresh.store.close_sessions(&[opening("alice:e", false, 60)]).await.unwrap();
    assert_eq!(fresh.mark_all_closed(NOW + 1000).await.unwrap(), 1);
    let due = Prune { now_ms: NOW + 1000 + 3_600_000, bodies_before_ms: None, rows_max: 9 };
    let early = Prune { now_ms: due.now_ms - 1, ..due };
    assert_eq!(fresh.prune(early).await.unwrap().sessions, 1, "alice:e ended before");
    assert_eq!(fresh.prune(due).await.unwrap().sessions, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_that_writes_makes_the_store_wait_then_away() {
    let fresh = fresh().await;
    group(&fresh.store, cid(1), &["alice"]).await;
    let options = SqliteConnectOptions::new().filename(fresh.file());
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let refused = fresh.commit(&[send(cid(1), "alice:d", "a")], &Policy::default()).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    // Reading goes on meanwhile.
    assert!(checked_log(&fresh.store, cid(1)).await.is_empty());
    lock.rollback().await.unwrap();
    let fate = commit_one(&fresh.store, send(cid(1), "alice:d", "a")).await;
    assert!(!accepted(fate).2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_commit_is_whole_or_nothing_and_blocks_nobody() {
    let fresh = fresh().await;
    group(&fresh.store, cid(1), &["alice"]).await;
    let policy = Policy::default();
    for polls in 1..40 {
        let batch = [
            send(cid(1), "alice:d", &format!("a{polls}")),
            send(cid(1), "alice:d", &format!("b{polls}")),
        ];
        let mut running = fresh.store.commit(&batch, &policy);
        let mut left = polls;
        // Polled so often, then dropped, wherever it stands.
        poll_fn(|context| {
            left -= 1;
            match running.as_mut().poll(context) {
                Poll::Pending if left > 0 => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })
        .await;
        drop(running);
        let fates = commit(&fresh.store, &batch).await.fates;
        assert_eq!(accepted(fates[0]).2, accepted(fates[1]).2, "both or none");
    }
    assert_eq!(checked_log(&fresh.store, cid(1)).await.len(), 78);
}
