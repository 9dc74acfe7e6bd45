//! Two stores on one database, as two bridges have it: pools of their own, nothing shared.

use std::collections::HashMap;

use godwit_core::change::Change;
use godwit_core::commit::{Act, Fate, Send as SendRequest};
use godwit_core::conformance::support::{
    NOW, about, accepted, add, change, checked_log, cid, commit, commit_one, direct, group, item,
    keep, place_of, reached, remove, report, say, send, to, user,
};
use godwit_core::cursor::Feed;
use godwit_core::entry::{Entry, EntryKind};
use godwit_core::ids::Seq;
use godwit_core::inbox::{InboxQuery, Inboxes as _, MarksChange};
use godwit_core::people::People as _;
use godwit_core::policy::Policy;
use godwit_core::receipt::Report;
use godwit_core::store::{Range, Store};
use godwit_store_postgres::PostgresStore;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::harm::uuid;
use crate::{connect, fresh};

const CONVERSATIONS: u8 = 4;
const ROUNDS: usize = 40;

/// Batches over all conversations, each round in another order; every third send is one that the
/// other process sends, too.
async fn write(store: PostgresStore, process: usize) -> Vec<(String, SendRequest, u64, bool)> {
    let mut told = Vec::new();
    for round in 0..ROUNDS {
        let mut batch = Vec::new();
        for i in 0..12 {
            let key = match i % 3 {
                0 => format!("shared-{round}-{i}"),
                _ => format!("own-{process}-{round}-{i}"),
            };
            let turned = u8::try_from((i + round * (process + 1)) % 4).unwrap();
            let place = if i % 3 == 0 { u8::try_from(i % 4).unwrap() } else { turned };
            batch.push(send(cid(place + 1), "alice:d", &key));
        }
        if process == 1 {
            batch.reverse();
        }
        let fates = store.commit(&batch, &Policy::default()).await.unwrap().fates;
        for (send, fate) in batch.into_iter().zip(fates) {
            let key = send.key.to_stored();
            let (id, seq, duplicate) = accepted(fate);
            assert!(duplicate || id == send.message_id);
            told.push((key, SendRequest { message_id: id, ..send }, seq.0, duplicate));
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_commit_to_the_same_conversations_without_gap_or_double() {
    let fresh = fresh().await;
    for number in 1..=CONVERSATIONS {
        group(&fresh.store, cid(number), &["alice"]).await;
    }
    let mut writers = tokio::task::JoinSet::new();
    for process in 0..2 {
        // Two writers a process, so that its own connections meet as well.
        for writer in 0..2 {
            let store = connect(fresh.database.url()).await;
            writers.spawn(write(store, process * 2 + writer));
        }
    }
    let told: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    let mut stored = HashMap::new();
    let mut total = 0;
    for number in 1..=CONVERSATIONS {
        for entry in checked_log(&fresh.store, cid(number)).await {
            total += 1;
            stored.insert((entry.conversation, entry.seq.0), entry.message_id);
        }
    }
    let mut firsts = 0;
    for (key, send, seq, duplicate) in &told {
        assert_eq!(stored[&(send.conversation, *seq)], send.message_id, "{key}");
        firsts += usize::from(!duplicate);
    }
    assert_eq!(firsts, total, "each entry was told as new exactly once");
    // 8 of 12 sends are a writer's own; 4 are the same for all four writers.
    assert_eq!(total, ROUNDS * (8 * 4 + 4));
    assert_eq!(fresh.outbox(100_000).await.unwrap().len(), total);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_change_in_one_while_the_other_commits() {
    let fresh = fresh().await;
    group(&fresh.store, cid(1), &["alice", "bob"]).await;
    keep(&fresh.store, &["bob:d"]).await;
    let other = connect(fresh.database.url()).await;
    let changing = tokio::spawn(async move {
        for round in 0..30 {
            let ask = if round % 2 == 0 { remove(&["bob"]) } else { add(&["bob"]) };
            let request = change(cid(1), Some("alice:d"), ask);
            other.change(&request).await.unwrap().unwrap();
        }
    });
    for round in 0..200 {
        let batch = [send(cid(1), "bob:d", &format!("k{round}"))];
        fresh.commit(&batch, &Policy::default()).await.unwrap();
        fresh.move_cursors(&[to("bob:d", Feed::Log, cid(1), round)]).await.unwrap();
    }
    changing.await.unwrap();
    // What the log says of bob's stays is what was let in.
    let mut member = true;
    for entry in checked_log(&fresh.store, cid(1)).await {
        match entry.change() {
            Some(change) => member = matches!(change, Change::Added { .. }),
            None => assert!(member, "a send of bob's at {} while he was away", entry.seq),
        }
    }
    let strays = "SELECT count(*) FROM cursors AS k WHERE NOT EXISTS (SELECT FROM members AS m
        WHERE m.conversation_id = k.conversation_id AND m.user_id = k.user_id
        AND m.left_seq IS NULL)";
    assert_eq!(fresh.database.ask(strays), "0", "no cursor of a user who is no member");
}

/// What a store remembers of its own last commit is no right to write: the other process has the
/// last word on members and keys.
#[tokio::test]
async fn what_one_remembers_the_other_may_have_changed() {
    let fresh = fresh().await;
    group(&fresh.store, cid(1), &["bob", "alice"]).await;
    let other = connect(fresh.database.url()).await;
    let first = send(cid(1), "alice:d", "first");
    let one = async |store: &PostgresStore, send: &SendRequest| {
        store.commit(std::slice::from_ref(send), &Policy::default()).await.unwrap().fates[0]
    };
    let (id, seq, _) = accepted(one(&fresh.store, &first).await);
    // The key is known to the database only, the head is remembered.
    let again = accepted(one(&fresh.store, &first).await);
    assert_eq!(again, (id, seq, true));
    let gone = change(cid(1), None, remove(&["alice"]));
    other.change(&gone).await.unwrap().unwrap();
    let late = send(cid(1), "alice:d", "late");
    assert!(matches!(one(&fresh.store, &late).await, Fate::Forbidden(_)));
    let stale = SendRequest { group_version: Some(1), ..send(cid(1), "bob:d", "stale") };
    assert_eq!(one(&fresh.store, &stale).await, Fate::StaleGroup { group_version: 2 });
    let (_, seq, _) = accepted(one(&fresh.store, &send(cid(1), "bob:d", "good")).await);
    assert_eq!(seq.0, 3);
}

/// A block moves no head; the group version, which rises with it, is enough.
#[tokio::test]
async fn a_block_by_one_counts_for_what_the_other_remembers() {
    let fresh = fresh().await;
    fresh.create(&direct(cid(1), "alice", "bob")).await.unwrap();
    let other = connect(fresh.database.url()).await;
    for round in 0..3 {
        let key = |name: &str| format!("{name}-{round}");
        place_of(&fresh.store, send(cid(1), "bob:d", &key("a"))).await;
        place_of(&fresh.store, send(cid(1), "bob:d", &key("b"))).await;
        let told = other.block(&user("alice"), &user("bob"), true, NOW).await.unwrap();
        assert_eq!(told, Ok(vec![cid(1)]));
        let fate = commit_one(&fresh.store, send(cid(1), "bob:d", &key("c"))).await;
        assert!(matches!(fate, Fate::Forbidden(_)), "{fate:?}");
        other.block(&user("alice"), &user("bob"), false, NOW).await.unwrap().unwrap();
        place_of(&fresh.store, send(cid(1), "bob:d", &key("d"))).await;
    }
}

/// Messages that name people, edits and deletions of two processes; a check beside them sees no
/// difference at any moment, and no body outlives its deletion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mentions_edits_and_deletions_of_two_leave_no_difference() {
    let fresh = fresh().await;
    group(&fresh.store, cid(1), &["alice", "bob", "carol"]).await;
    let mut writers = tokio::task::JoinSet::new();
    for process in 0..2u64 {
        let store = connect(fresh.database.url()).await;
        writers.spawn(async move {
            for round in 0..30u64 {
                let from = if process == 0 { "alice:d" } else { "alice:e" };
                let key = |name: &str| format!("{name}-{process}-{round}");
                let names = ["alice", "bob", "carol", "bob"].map(user).to_vec();
                let named = if round % 2 == 0 { names[1..3].to_vec() } else { Vec::new() };
                let act = Act::Message { reply_to: None, mentions: names };
                let message = SendRequest { act, ..send(cid(1), from, &key("m")) };
                let target = place_of(&store, message).await;
                let batch = [
                    about(cid(1), from, &key("e"), Act::Edit { target, mentions: named }),
                    about(cid(1), from, &key("r"), Act::React { target }),
                    send(cid(1), from, &key("n")),
                ];
                commit(&store, &batch).await;
                if round % 3 == process {
                    place_of(&store, about(cid(1), from, &key("d"), Act::Delete { target })).await;
                }
            }
        });
    }
    while !writers.is_empty() {
        let checked = fresh.check_inboxes(None, 9, false).await.unwrap();
        assert_eq!(checked.differences, []);
        if let Some(done) = writers.try_join_next() {
            done.unwrap();
        }
    }
    let log = checked_log_after_deletions(&fresh.store).await;
    assert_eq!(
        (log.len(), log.iter().filter(|e| e.kind == EntryKind::Deletion).count()),
        (260, 20)
    );
    let mentioned = item(&fresh.store, "bob", cid(1)).await.unwrap();
    // Each process has deleted 10 of 30: those of even rounds, 5 of 15, still name people.
    assert_eq!((mentioned.unread, mentioned.mentions), (100, 20));
}

/// The log, without a body of anything that was deleted.
async fn checked_log_after_deletions(store: &PostgresStore) -> Vec<Entry> {
    let whole = Range::above(Seq::ZERO);
    let log = store.read_log(cid(1), whole, 1_000, usize::MAX).await.unwrap().unwrap().entries;
    let deleted = log.iter().filter(|entry| entry.kind == EntryKind::Deletion);
    for target in deleted.map(|entry| entry.target.unwrap()) {
        let about = |entry: &&Entry| {
            entry.seq == target || (entry.kind == EntryKind::Edit && entry.target == Some(target))
        };
        for entry in log.iter().filter(about) {
            assert!(entry.body_gone && entry.body.is_empty(), "{entry:?}");
            assert_eq!(entry.mentions, []);
        }
    }
    log
}

/// Receipts of many in orders of their own, marks, and members who come and go: nobody waits for
/// another in turn, and nothing remains of those who are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_and_marks_meet_members_who_come_and_go() {
    let fresh = fresh().await;
    let names = ["alice", "bob", "carol", "dan"];
    for number in 1..=3 {
        group(&fresh.store, cid(number), &names).await;
        say(&fresh.store, cid(number), "alice:d", 40).await;
    }
    let mut tasks = tokio::task::JoinSet::new();
    for process in 0..3u64 {
        let store = connect(fresh.database.url()).await;
        tasks.spawn(async move {
            for round in 1..=40 {
                let mut reports: Vec<Report> = names
                    .iter()
                    .map(|name| {
                        let places = (1..=3).map(|number| reached(cid(number), round, round / 2));
                        Report { user: user(name), places: places.collect(), lenient: true }
                    })
                    .collect();
                if process == 1 {
                    reports.reverse();
                }
                store.report(&reports).await.unwrap();
            }
        });
        let store = connect(fresh.database.url()).await;
        tasks.spawn(async move {
            let id = cid(u8::try_from(process).unwrap() + 1);
            for round in 0..10 {
                let gone = if round % 2 == 0 { ["bob", "dan"] } else { ["dan", "carol"] };
                store.change(&change(id, None, remove(&gone))).await.unwrap().unwrap();
                let archived = Some(round % 3 == 0);
                let marks = MarksChange { archived, ..MarksChange::default() };
                for name in names {
                    store.change_marks(&user(name), id, &marks).await.unwrap();
                }
                store.change(&change(id, None, add(&gone))).await.unwrap().unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let strays = "SELECT count(*) FROM inbox AS i WHERE NOT EXISTS (SELECT FROM members AS m
        WHERE m.conversation_id = i.conversation_id AND m.user_id = i.user_id
        AND m.left_seq IS NULL)";
    assert_eq!(fresh.database.ask(strays), "0", "nothing of a user who is no member");
    for number in 1..=3 {
        let receipts = fresh.receipts(cid(number)).await.unwrap();
        let alice = receipts.iter().find(|receipt| receipt.user == user("alice")).unwrap();
        assert_eq!((alice.cursors.delivered.0, alice.cursors.read.0), (40, 20));
    }
}

/// Returns when so many statements wait for a lock.
async fn until_they_wait(watch: &mut PgConnection, count: usize) {
    let waiting = "SELECT 1 FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::raw_sql(waiting).fetch_all(&mut *watch).await.unwrap().len() < count {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// A report finds no row while a commit makes one: what the sender has read by sending stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_does_not_take_back_what_a_commit_reads() {
    let fresh = fresh().await;
    group(&fresh.store, cid(1), &["alice", "bob"]).await;
    say(&fresh.store, cid(1), "alice:d", 3).await;
    let url = fresh.database.url();
    let connect = || async { PgConnection::connect(url).await.unwrap() };
    let (mut commit, mut watch) = (connect().await, connect().await);
    // As a commit does it: the row is made, and not to be seen yet.
    let row = format!(
        "BEGIN; INSERT INTO inbox \
         (conversation_id, user_id, delivered_seq, read_seq, archived, marked_unread) \
         VALUES ({}, 'bob', 3, 3, false, false)",
        uuid(cid(1))
    );
    sqlx::raw_sql(AssertSqlSafe(row)).execute(&mut commit).await.unwrap();
    let store = crate::connect(url).await;
    let places = vec![reached(cid(1), 1, 0)];
    let asked = Report { user: user("bob"), places, lenient: true };
    let asked = tokio::spawn(async move { store.report(&[asked]).await });
    until_they_wait(&mut watch, 1).await;
    sqlx::raw_sql("COMMIT").execute(&mut commit).await.unwrap();
    asked.await.unwrap().unwrap();
    let shown = item(&fresh.store, "bob", cid(1)).await.unwrap();
    assert_eq!((shown.cursors.delivered, shown.cursors.read), (Seq(3), Seq(3)));
    assert_eq!(shown.unread, 0);
}

/// A commit that is under way in one process while a walk begins in another: it has its number, nobody
/// sees it yet, and its message was taken in before others that the first page shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_meets_what_was_under_way_when_it_began() {
    let fresh = fresh().await;
    for number in 1..=6 {
        group(&fresh.store, cid(number), &["alice", "bob"]).await;
        let time_ms = NOW + u64::from(number);
        place_of(&fresh.store, SendRequest { time_ms, ..send(cid(number), "alice:d", "a") }).await;
    }
    report(&fresh.store, "alice", &[reached(cid(1), 1, 1)]).await.unwrap();
    let url = fresh.database.url();
    let connected = || async { PgConnection::connect(url).await.unwrap() };
    let (mut hold, mut watch) = (connected().await, connected().await);
    // The commit moves the head, and then waits for the row that says what its sender has read.
    let row = format!(
        "BEGIN; SELECT FROM inbox WHERE conversation_id = {} AND user_id = 'alice' FOR UPDATE",
        uuid(cid(1))
    );
    sqlx::raw_sql(AssertSqlSafe(row)).execute(&mut hold).await.unwrap();
    let other = crate::connect(url).await;
    let late = SendRequest { time_ms: NOW + 5, reads: true, ..send(cid(1), "alice:d", "late") };
    let late = tokio::spawn(async move { other.commit(&[late], &Policy::default()).await });
    until_they_wait(&mut watch, 1).await;
    let alice = user("alice");
    let mut query = InboxQuery { limit: 2, ..InboxQuery::default() };
    let page = fresh.inbox(&alice, &query).await.unwrap();
    let mut met: Vec<_> = page.items.iter().map(|item| item.conversation).collect();
    assert_eq!(met, [6, 5].map(cid));
    query.after = page.next;
    sqlx::raw_sql("COMMIT").execute(&mut hold).await.unwrap();
    assert!(accepted(late.await.unwrap().unwrap().fates[0]).1 == Seq(2));
    // The rest is asked of another process.
    let other = crate::connect(url).await;
    while query.after.is_some() {
        let page = other.inbox(&alice, &query).await.unwrap();
        met.extend(page.items.iter().map(|item| item.conversation));
        query.after = page.next;
    }
    assert_eq!(met, [6, 5, 4, 3, 2, 1].map(cid));
}

/// A report makes the rows that are missing and locks those that stand, in the one order that commits
/// have: neither waits for the other in turn. (First all that are missing and then the others were two
/// orders.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_and_a_commit_lock_in_one_order() {
    let fresh = fresh().await;
    let names = ["alice", "bob", "carol"];
    group(&fresh.store, cid(1), &names).await;
    say(&fresh.store, cid(1), "carol:d", 3).await;
    let report = |name: &str, seq: u64| Report {
        user: user(name),
        places: vec![reached(cid(1), seq, seq)],
        lenient: true,
    };
    // Alice has a row, bob has none, and carol's is being written.
    fresh.report(&[report("alice", 1)]).await.unwrap();
    let url = fresh.database.url();
    let open = || async { PgConnection::connect(url).await.unwrap() };
    let (mut commit, mut other, mut watch) = (open().await, open().await, open().await);
    let read = |name: &str| {
        format!(
            "INSERT INTO inbox AS i \
             (conversation_id, user_id, delivered_seq, read_seq, archived, marked_unread) \
             VALUES ({}, '{name}', 3, 3, false, false) \
             ON CONFLICT (conversation_id, user_id) DO UPDATE SET read_seq = 3, delivered_seq = 3;",
            uuid(cid(1))
        )
    };
    let carols = AssertSqlSafe(format!("BEGIN; {}", read("carol")));
    sqlx::raw_sql(carols).execute(&mut other).await.unwrap();
    let store = crate::connect(url).await;
    let reports = names.map(|name| report(name, 2));
    let report = tokio::spawn(async move { store.report(&reports).await });
    until_they_wait(&mut watch, 1).await;
    // It is on its way through the rows. Now comes a commit of alice's and bob's.
    let both = AssertSqlSafe(format!("BEGIN; {} {} COMMIT", read("alice"), read("bob")));
    let commit = tokio::spawn(async move { sqlx::raw_sql(both).execute(&mut commit).await });
    until_they_wait(&mut watch, 2).await;
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    report.await.unwrap().unwrap();
    commit.await.unwrap().unwrap();
    for name in names {
        let shown = item(&fresh.store, name, cid(1)).await.unwrap();
        assert_eq!((shown.cursors.delivered, shown.cursors.read), (Seq(3), Seq(3)), "{name}");
    }
}
