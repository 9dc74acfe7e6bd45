//! Postgres loses what it had acknowledged (a failover, a restore), or a part of it is busy: nothing
//! forks, nothing is skipped, commits go on.

use godwit_core::conformance::support::{
    NOW, accepted, behind, checked_log, cid, commit_one, group, keep, opening, reached, report,
    say, send, start, to,
};
use godwit_core::cursor::{Feed, Scope};
use godwit_core::ids::Seq;
use godwit_core::inbox::Inboxes as _;
use godwit_core::store::{Prune, Store};

use crate::{OPTIONS, connect, fresh};

/// A failover has lost the last entry, and another process has written another in its place: the
/// head stands at the same place with another chain. Whoever remembers the lost one does not go on
/// from it.
#[tokio::test]
async fn a_log_of_the_same_length_with_another_chain_is_another() {
    let fresh = fresh().await;
    group(&fresh.store, cid(1), &["alice"]).await;
    say(&fresh.store, cid(1), "alice:d", 2).await;
    // As a restored copy has it: the last entry never was.
    let copy = "CREATE TABLE kept_head AS SELECT * FROM conversations;
                CREATE TABLE kept_log AS SELECT * FROM messages";
    let _ = fresh.database.ask(copy);
    let _ = accepted(commit_one(&fresh.store, send(cid(1), "alice:d", "lost")).await);
    let restore = "UPDATE conversations AS c SET head_seq = k.head_seq, head_chain = k.head_chain,
                       number = k.number, active_seq = k.active_seq FROM kept_head AS k;
                   DELETE FROM messages WHERE seq > 2";
    let _ = fresh.database.ask(restore);
    let other = connect(fresh.database.url()).await;
    let _ = accepted(commit_one(&other, send(cid(1), "alice:d", "instead")).await);
    // The first process remembers a head at 3, and so it stands; but it is another.
    let (_, seq, _) = accepted(commit_one(&fresh.store, send(cid(1), "alice:d", "next")).await);
    assert_eq!(seq.0, 4);
    // Checks each entry's chain over the one before.
    assert_eq!(checked_log(&fresh.store, cid(1)).await.len(), 4);
}

/// A cursor above the end of its log is taken back to it, when its device comes and at a start: what
/// is written in the places that were lost is delivered.
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
    let _ = fresh.database.ask("UPDATE conversations SET head_seq = 5");
    assert_eq!(behind(&fresh.store, "bob:d", Feed::Log).await, []);
    let at = |device: &str| {
        format!("SELECT string_agg(seq::text, ',') FROM cursors WHERE device_id = '{device}'")
    };
    assert_eq!(fresh.database.ask(&at("d")), "5,5");
    assert_eq!(fresh.database.ask(&at("e")), "9,9");
    // Those of the other device, and the user's own.
    assert_eq!(fresh.mend_cursors().await.unwrap(), 2 + 2);
    let receipts = fresh.receipts(cid(2)).await.unwrap();
    assert_eq!((receipts[0].cursors.delivered, receipts[0].cursors.read), (Seq(5), Seq(5)));
    assert_eq!(fresh.database.ask(&at("e")), "5,5");
    assert_eq!(fresh.mend_cursors().await.unwrap(), 0);
}

/// Whatever the database's default is, a session commits to the disk.
#[tokio::test]
async fn sessions_switch_synchronous_commit_on() {
    let fresh = fresh().await;
    let name = fresh.database.ask("SELECT current_database()");
    let _ = fresh.database.ask(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    assert_eq!(fresh.database.ask("SHOW synchronous_commit"), "off");
    let store = connect(fresh.database.url()).await;
    group(&store, cid(1), &["alice"]).await;
    // Told by the transaction that commits, from within.
    let _ = fresh.database.ask(
        "CREATE TABLE seen (setting text);
         CREATE FUNCTION look() RETURNS trigger AS $$ BEGIN
             INSERT INTO seen VALUES (current_setting('synchronous_commit'));
             RETURN NEW;
         END $$ LANGUAGE plpgsql;
         CREATE TRIGGER look BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION look()",
    );
    say(&store, cid(1), "alice:d", 1).await;
    assert_eq!(fresh.database.ask("SELECT setting FROM seen"), "on");
}

/// Readers that hold all their connections stop neither a commit nor a change nor a session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_starve_stop_nobody_else() {
    let fresh = fresh().await;
    group(&fresh.store, cid(1), &["alice", "bob"]).await;
    say(&fresh.store, cid(1), "alice:d", 3).await;
    // Whoever reads a log, and the statement is known by now, waits for this lock.
    let mut lock =
        <sqlx::PgConnection as sqlx::Connection>::connect(fresh.database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        .execute(&mut lock)
        .await
        .unwrap();
    let mut reading = tokio::task::JoinSet::new();
    for _ in 0..OPTIONS.connections_max * 4 {
        let store = fresh.store.clone();
        reading.spawn(async move {
            let user = godwit_core::conformance::support::user("alice");
            let _ = godwit_core::people::People::user(&store, &user).await;
        });
    }
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while fresh.database.ask(waiting) == "0" {
        tokio::task::yield_now().await;
    }
    let begun = std::time::Instant::now();
    let _ = accepted(commit_one(&fresh.store, send(cid(1), "alice:d", "k")).await);
    let add = godwit_core::conformance::support::add(&["carol"]);
    godwit_core::conformance::support::changed(&fresh.store, cid(1), add).await;
    keep(&fresh.store, &["bob:d"]).await;
    assert!(begun.elapsed() < OPTIONS.operation_timeout / 4, "{:?}", begun.elapsed());
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    reading.join_all().await;
}

/// Many expired sessions in many conversations go, in steps that others' commits come between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_expired_sessions_end_and_stop_nobody() {
    let fresh = fresh().await;
    group(&fresh.store, cid(1), &["alice"]).await;
    let _ = fresh.database.ask(
        "INSERT INTO conversations (id, head_seq, group_version, created_ms, head_chain, kind,
             number, active_seq, active_ms, next_tag)
         SELECT md5(n::text)::uuid, 0, 1, 0, '\\x00', 2, 0, 0, 0, 2 FROM generate_series(1, 3000) n;
         INSERT INTO members (conversation_id, joined_seq, role, user_id, visible_seq, tag, blocked)
         SELECT md5(n::text)::uuid, 0, 1, 'bob', 0, 1, false FROM generate_series(1, 3000) n;
         INSERT INTO sessions (user_id, device_id, expiry_s, closed_ms)
         SELECT 'bob', 'd' || n, 1, 0 FROM generate_series(1, 40) n;
         INSERT INTO cursors (conversation_id, user_id, device_id, feed, seq)
         SELECT md5(n::text)::uuid, 'bob', 'd' || d, 1, 0
         FROM generate_series(1, 3000) n, generate_series(1, 40) d",
    );
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
    let (mut commits, mut slowest) = (0, std::time::Duration::ZERO);
    while !pruning.is_finished() {
        let begun = std::time::Instant::now();
        let _ = accepted(
            commit_one(&fresh.store, send(cid(1), "alice:d", &format!("k{commits}"))).await,
        );
        (commits, slowest) = (commits + 1, slowest.max(begun.elapsed()));
    }
    let (sessions, calls) = pruning.await.unwrap();
    assert_eq!(sessions, 40);
    assert!(calls > 1, "one call is bounded");
    assert!(commits > 20, "{commits} commits came in between, the slowest took {slowest:?}");
    let left = "SELECT count(*) FROM cursors";
    assert_eq!(fresh.database.ask(left), "0");
    // One that comes back meanwhile is not touched.
    let opened = fresh.open_sessions(&[opening("bob:d1", false, 60)]).await.unwrap();
    assert!(!opened[0].present);
}

/// The lease is one connection's, a probe says whether a commit would be taken.
#[tokio::test]
async fn the_lease_is_held_by_one_and_falls_with_its_connection() {
    let fresh = fresh().await;
    let other = connect(fresh.database.url()).await;
    let mut first = fresh.try_lease().await.unwrap().unwrap();
    let holder = godwit_core::store::Holder {
        owner: "me".to_owned(),
        name: "process 7".to_owned(),
        heartbeat_ms: 5,
    };
    first.beat(&holder).await.unwrap();
    assert!(other.try_lease().await.unwrap().is_none());
    assert_eq!(other.holder().await.unwrap(), holder);
    first.release().await;
    let second = loop {
        // The server notices the end of a connection a moment later.
        if let Some(lease) = other.try_lease().await.unwrap() {
            break lease;
        }
    };
    drop(second);
}

/// A right that is missing is found by the probe, which leaves nothing behind.
#[tokio::test]
async fn a_probe_finds_what_a_commit_would() {
    let fresh = fresh().await;
    fresh.probe().await.unwrap();
    assert_eq!(fresh.database.ask("SELECT count(*) FROM messages"), "0");
    assert_eq!(fresh.database.ask("SELECT count(*) FROM outbox"), "0");
    let _ = fresh.database.ask("ALTER TABLE messages RENAME TO elsewhere");
    assert!(matches!(fresh.probe().await, Err(godwit_core::store::Error::Unavailable(_))));
    fresh.ping().await.unwrap();
    let _ = fresh.database.ask("ALTER TABLE elsewhere RENAME TO messages");
    fresh.probe().await.unwrap();
}
