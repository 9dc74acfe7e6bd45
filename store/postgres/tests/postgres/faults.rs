//! Postgres stops, crashes, hangs: away, then back, and nothing that was acknowledged is missing.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use godwit_core::conformance::support::{
    NOW, accepted, checked_log, cid, commit_one, group, keep, open_one, opening, send,
};
use godwit_core::policy::Policy;
use godwit_core::store::{Error, Prune, Store};
use godwit_store_postgres::{Options, PostgresStore};
use godwit_testkit::postgres::{self, PostgresServer};

use crate::{OPTIONS, connect, fresh};

/// A store on a server of its own, which may be killed.
async fn private() -> (Arc<PostgresServer>, postgres::Database, PostgresStore) {
    let options = postgres::Options { fsync: true };
    let server = Arc::new(PostgresServer::start_with(options));
    let database = server.empty();
    let store = connect(database.url()).await;
    store.migrate_up().await.unwrap();
    group(&store, cid(1), &["alice"]).await;
    (server, database, store)
}

/// Repeats until the store is back; each of its connections may have to notice by itself.
async fn back(store: &PostgresStore) {
    for _ in 0..=OPTIONS.connections_max {
        match store.ping().await {
            Ok(()) => return,
            Err(Error::Unavailable(_)) => {}
            Err(broken) => panic!("{broken:?}"),
        }
    }
    panic!("not back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_crash_and_a_restart() {
    let (server, _database, store) = private().await;
    let mut acknowledged = 0;
    for round in 0..3 {
        let writing = {
            let store = store.clone();
            tokio::spawn(async move {
                let mut told = Vec::new();
                for i in 0.. {
                    let batch = [send(cid(1), "alice:d", &format!("r{round}-{i}"))];
                    match store.commit(&batch, &Policy::default()).await {
                        Ok(committed) => told.push((batch, accepted(committed.fates[0]))),
                        Err(Error::Unavailable(_)) => return (told, batch),
                        Err(broken) => panic!("{broken:?}"),
                    }
                }
                unreachable!("the server stops before the numbers end")
            })
        };
        // The crash falls into running commits: they have begun when the log has grown.
        while store.conversation(cid(1)).await.unwrap().unwrap().head_seq.0 < acknowledged + 20 {}
        match round {
            1 => server.stop(),
            _ => server.crash(),
        }
        let (told, uncertain) = writing.await.unwrap();
        assert!(matches!(store.ping().await, Err(Error::Unavailable(_))));
        server.launch();
        back(&store).await;
        for (batch, (id, seq, _)) in told {
            assert_eq!(accepted(commit_one(&store, batch[0].clone()).await), (id, seq, true));
        }
        let (_, last, _) = accepted(commit_one(&store, uncertain[0].clone()).await);
        acknowledged = last.0;
    }
    assert_eq!(checked_log(&store, cid(1)).await.len() as u64, acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_table_and_a_frozen_server_are_away() {
    let server = Arc::new(PostgresServer::start());
    let database = server.empty();
    let options = Options { operation_timeout: Duration::from_millis(600), ..OPTIONS };
    let store = PostgresStore::connect(database.url(), options).await.unwrap();
    store.migrate_up().await.unwrap();
    group(&store, cid(1), &["alice"]).await;
    let mut lock = <sqlx::PgConnection as sqlx::Connection>::connect(database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE messages").execute(&mut lock).await.unwrap();
    let batch = [send(cid(1), "alice:d", "a")];
    let refused = store.commit(&batch, &Policy::default()).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    assert!(!accepted(store.commit(&batch, &Policy::default()).await.unwrap().fates[0]).2);

    // Every session stops answering, without a word and with its socket open.
    let sessions =
        database.ask("SELECT pid FROM pg_stat_activity WHERE application_name = 'godwit'");
    let signal = |name: &str| {
        let pids = sessions.split_whitespace();
        assert!(
            std::process::Command::new("kill").arg(name).args(pids).status().unwrap().success()
        );
    };
    signal("-STOP");
    let batch = [send(cid(1), "alice:d", "b")];
    let refused = store.commit(&batch, &Policy::default()).await;
    signal("-CONT");
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    let fate = commit_one(&store, batch[0].clone()).await;
    assert_eq!(accepted(fate).1.0, 2);
    assert_eq!(checked_log(&store, cid(1)).await.len(), 2);
}

#[tokio::test]
async fn nobody_there_is_away() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://godwit@{}/x", listener.local_addr().unwrap());
    drop(listener);
    let options = Options { operation_timeout: Duration::from_millis(500), ..OPTIONS };
    let refused = PostgresStore::connect(&url, options).await;
    let Err(Error::Unavailable(why)) = refused else { panic!("{refused:?}") };
    assert!(why.to_string().contains("refused"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_commit_is_whole_or_nothing_and_blocks_nobody() {
    let fresh = fresh().await;
    group(&fresh.store, cid(1), &["alice"]).await;
    for polls in 1..40 {
        let batch = ["a", "b"].map(|name| send(cid(1), "alice:d", &format!("{name}{polls}")));
        let policy = Policy::default();
        let mut commit = fresh.store.commit(&batch, &policy);
        let mut left = polls;
        // Polled so often, then dropped, wherever it stands.
        poll_fn(|context| {
            left -= 1;
            match commit.as_mut().poll(context) {
                Poll::Pending if left > 0 => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })
        .await;
        drop(commit);
        let fates = fresh.store.commit(&batch, &Policy::default()).await.unwrap().fates;
        assert_eq!(accepted(fates[0]).2, accepted(fates[1]).2, "both or none");
    }
    assert_eq!(checked_log(&fresh.store, cid(1)).await.len(), 78);
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
