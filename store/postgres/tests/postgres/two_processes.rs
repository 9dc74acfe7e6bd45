//! Two stores on one database, as two bridges have it: pools of their own, nothing shared.

use std::collections::HashMap;

use godwit_core::change::Change;
use godwit_core::commit::{Fate, Send as SendRequest};
use godwit_core::conformance::support::{
    accepted, add, change, checked_log, cid, group, keep, remove, send, to,
};
use godwit_core::cursor::Feed;
use godwit_core::policy::Policy;
use godwit_core::store::Store;
use godwit_store_postgres::PostgresStore;

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
    let commit = async |store: &PostgresStore, send: &SendRequest| {
        store.commit(std::slice::from_ref(send), &Policy::default()).await.unwrap().fates[0]
    };
    let (id, seq, _) = accepted(commit(&fresh.store, &first).await);
    // The key is known to the database only, the head is remembered.
    let again = accepted(commit(&fresh.store, &first).await);
    assert_eq!(again, (id, seq, true));
    let gone = change(cid(1), None, remove(&["alice"]));
    other.change(&gone).await.unwrap().unwrap();
    let late = send(cid(1), "alice:d", "late");
    assert!(matches!(commit(&fresh.store, &late).await, Fate::Forbidden(_)));
    let stale = SendRequest { group_version: Some(1), ..send(cid(1), "bob:d", "stale") };
    assert_eq!(commit(&fresh.store, &stale).await, Fate::StaleGroup { group_version: 2 });
    let (_, seq, _) = accepted(commit(&fresh.store, &send(cid(1), "bob:d", "good")).await);
    assert_eq!(seq.0, 3);
}
