//! Files that vanish under the store, an older copy put in place, and upkeep beside commits.

use std::time::{Duration, Instant};

use godwit_core::conformance::support::{
    NOW, accepted, behind, checked_log, cid, commit_one, group, keep, reached, report, say, send,
    start, to,
};
use godwit_core::cursor::{Feed, Scope};
use godwit_core::ids::Seq;
use godwit_core::inbox::Inboxes as _;
use godwit_core::policy::Policy;
use godwit_core::store::{Error, Holder, Prune, Store};
use godwit_store_sqlite::SqliteStore;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use crate::{Fresh, fresh};

/// Runs statements from outside.
async fn outside(fresh: &Fresh, statements: &str) {
    let options = SqliteConnectOptions::new().filename(fresh.file());
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut other).await.unwrap();
    other.close().await.unwrap();
}

/// Repeats a send until it is taken.
async fn until_taken(store: &SqliteStore, key: &str) {
    let batch = [send(cid(1), "alice:d", key)];
    let begun = Instant::now();
    loop {
        match store.commit(&batch, &Policy::default()).await {
            Ok(committed) => {
                let _ = accepted(committed.fates[0]);
                return;
            }
            Err(Error::Unavailable(_)) => tokio::task::yield_now().await,
            Err(other) => panic!("{other:?}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not heal");
    }
}

/// The write-ahead log is deleted while the store is open: from then on nothing is acknowledged that
/// a restart would not find, and nothing that was acknowledged before is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_log_is_noticed_and_nothing_is_lost() {
    let fresh = fresh().await;
    group(&fresh.store, cid(1), &["alice"]).await;
    say(&fresh.store, cid(1), "alice:d", 30).await;
    let log = fresh.directory.path().join("godwit.db-wal");
    for round in 0..3 {
        std::fs::remove_file(&log).unwrap();
        let batch = [send(cid(1), "alice:d", &format!("after-{round}"))];
        let refused = fresh.commit(&batch, &Policy::default()).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        until_taken(&fresh.store, &format!("after-{round}")).await;
        until_taken(&fresh.store, &format!("then-{round}")).await;
    }
    assert_eq!(checked_log(&fresh.store, cid(1)).await.len(), 36);
    // What a kill would leave: the files by their names.
    let copy = tempfile::tempdir().unwrap();
    for file in ["godwit.db", "godwit.db-wal"] {
        std::fs::copy(fresh.directory.path().join(file), copy.path().join(file)).unwrap();
    }
    let after = SqliteStore::open(&copy.path().join("godwit.db")).await.unwrap();
    assert_eq!(checked_log(&after, cid(1)).await.len(), 36);
}

/// The database itself is replaced: nothing is acknowledged any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_database_takes_no_more_sends() {
    let fresh = fresh().await;
    group(&fresh.store, cid(1), &["alice"]).await;
    say(&fresh.store, cid(1), "alice:d", 1).await;
    let copy = fresh.directory.path().join("copy.db");
    std::fs::copy(fresh.file(), &copy).unwrap();
    std::fs::rename(&copy, fresh.file()).unwrap();
    for key in ["a", "b"] {
        let refused = fresh.commit(&[send(cid(1), "alice:d", key)], &Policy::default()).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    }
    assert!(matches!(fresh.probe().await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn a_cursor_above_the_head_is_mended() {
    let fresh = fresh().await;
    for number in 1..=2 {
        group(&fresh.store, cid(number), &["alice", "bob"]).await;
    }
    keep(&fresh.store, &["bob:d", "bob:e"]).await;
    for device in ["bob:d", "bob:e"] {
        start(&fresh.store, device, Feed::Log, Scope::All).await;
    }
    for number in 1..=2 {
        say(&fresh.store, cid(number), "alice:d", 9).await;
        for device in ["bob:d", "bob:e"] {
            fresh.move_cursors(&[to(device, Feed::Log, cid(number), 9)]).await.unwrap();
        }
        report(&fresh.store, "bob", &[reached(cid(number), 9, 8)]).await.unwrap();
    }
    outside(&fresh, "UPDATE conversations SET head_seq = 5").await;
    assert_eq!(behind(&fresh.store, "bob:d", Feed::Log).await, []);
    // Those of the other device, and the user's own.
    assert_eq!(fresh.mend_cursors().await.unwrap(), 2 + 2);
    let receipts = fresh.receipts(cid(2)).await.unwrap();
    assert_eq!((receipts[0].cursors.delivered, receipts[0].cursors.read), (Seq(5), Seq(5)));
    assert_eq!(fresh.mend_cursors().await.unwrap(), 0);
    outside(&fresh, "UPDATE conversations SET head_seq = 7").await;
    for device in ["bob:d", "bob:e"] {
        let expected = [(cid(1), 5, 7), (cid(2), 5, 7)];
        assert_eq!(behind(&fresh.store, device, Feed::Log).await, expected, "{device}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_expired_sessions_end_and_stop_nobody() {
    let fresh = fresh().await;
    group(&fresh.store, cid(1), &["alice"]).await;
    outside(
        &fresh,
        "CREATE TEMP TABLE n (n INTEGER, id BLOB);
         WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3000)
         INSERT INTO n SELECT n, randomblob(16) FROM r;
         INSERT INTO conversations (id, head_seq, group_version, created_ms, head_chain, kind,
             number, active_seq, active_ms, next_tag)
         SELECT id, 0, 1, 0, zeroblob(16), 2, 0, 0, 0, 2 FROM n;
         INSERT INTO members (conversation_id, joined_seq, role, user_id, visible_seq, tag, blocked)
         SELECT id, 0, 1, 'bob', 0, 1, 0 FROM n;
         INSERT INTO sessions (user_id, device_id, expiry_s, closed_ms)
         SELECT 'bob', 'd' || n, 1, 0 FROM n WHERE n <= 40;
         INSERT INTO cursors (conversation_id, user_id, device_id, feed, seq)
         SELECT c.id, 'bob', 'd' || d.n, 1, 0 FROM n AS c, n AS d WHERE d.n <= 40",
    )
    .await;
    let store = fresh.store.clone();
    let pruning = tokio::spawn(async move {
        let prune = Prune { now_ms: NOW, bodies_before_ms: None, rows_max: 50 };
        let (mut sessions, mut calls) = (0, 0);
        loop {
            let pruned = store.prune(prune).await.unwrap();
            (sessions, calls) = (sessions + pruned.sessions, calls + 1);
            if !pruned.more {
                return (sessions, calls);
            }
        }
    });
    let (mut commits, mut slowest) = (0, Duration::ZERO);
    while !pruning.is_finished() {
        let begun = Instant::now();
        let _ = accepted(
            commit_one(&fresh.store, send(cid(1), "alice:d", &format!("k{commits}"))).await,
        );
        (commits, slowest) = (commits + 1, slowest.max(begun.elapsed()));
    }
    let (sessions, calls) = pruning.await.unwrap();
    assert_eq!(sessions, 40);
    assert!(calls > 1, "one call is bounded");
    assert!(commits > 20, "{commits} commits came in between, the slowest took {slowest:?}");
}

#[tokio::test]
async fn the_lease_is_held_by_one() {
    let fresh = fresh().await;
    let other = SqliteStore::open(&fresh.file()).await.unwrap();
    let mut first = fresh.try_lease().unwrap().unwrap();
    let holder = Holder { owner: "me".to_owned(), name: "process 7".to_owned(), heartbeat_ms: 5 };
    first.beat(&holder).await.unwrap();
    assert!(other.try_lease().unwrap().is_none());
    assert_eq!(other.holder().await.unwrap(), holder);
    first.release();
    assert!(other.try_lease().unwrap().is_some());
    other.close().await;
}

#[tokio::test]
async fn a_probe_leaves_nothing_behind() {
    let fresh = fresh().await;
    fresh.probe().await.unwrap();
    assert!(fresh.outbox(9).await.unwrap().is_empty());
    outside(&fresh, "ALTER TABLE messages RENAME TO elsewhere").await;
    assert!(fresh.probe().await.is_err());
    fresh.ping().await.unwrap();
}
