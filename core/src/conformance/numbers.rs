//! What a log counts as it grows: numbers, activity, mentions.

use super::support::{
    NOW, about, add, changed, checked_log, cid, commit, conversation, group, item, log_above,
    place_of, reached, remove, report, say, send, user,
};
use crate::change::{Ask, DetailsChange};
use crate::commit::{Act, Fate, Send};
use crate::ids::{Seq, UserId};
use crate::limits::MENTIONS_MAX;
use crate::store::{Prune, Store};

fn users(names: &[&str]) -> Vec<UserId> {
    names.iter().map(|name| user(name)).collect()
}

/// A message that names these.
fn naming(from: &str, key: &str, names: &[&str]) -> Send {
    Send { act: Act::Message { reply_to: None, mentions: users(names) }, ..send(cid(1), from, key) }
}

/// How many unread messages mention a user.
async fn mentions(store: &dyn Store, who: &str) -> u64 {
    item(store, who, cid(1)).await.unwrap().mentions
}

/// Only messages are counted; each entry says how many there are up to it, and the conversation how
/// many in all.
pub async fn messages_are_numbered_and_nothing_else(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    group(store, cid(2), &["alice"]).await;
    say(store, cid(2), "alice:d", 3).await;
    let batch = [send(cid(1), "alice:d", "a"), send(cid(1), "alice:d", "b")];
    commit(store, &batch).await;
    changed(store, cid(1), add(&["bob"])).await;
    let target = Seq(1);
    let batch = [
        about(cid(1), "alice:d", "c", Act::edit(target)),
        send(cid(1), "bob:d", "d"),
        about(cid(1), "alice:d", "e", Act::React { target }),
        about(cid(1), "alice:d", "f", Act::Pin { target }),
    ];
    commit(store, &batch).await;
    say(store, cid(1), "alice:d", 1).await;
    place_of(store, about(cid(1), "alice:d", "g", Act::Unpin { target })).await;
    place_of(store, about(cid(1), "alice:d", "h", Act::Delete { target })).await;
    // A refused send and a retry count nothing.
    let fate = commit(store, &[send(cid(1), "eve:d", "no"), batch[1].clone()]).await.fates[0];
    assert!(matches!(fate, Fate::Forbidden(_)));
    let numbers: Vec<u64> = log_above(store, cid(1), 0).await.iter().map(|e| e.number).collect();
    assert_eq!(numbers, [1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
    assert_eq!(conversation(store, cid(1)).await.number, 4);
    assert_eq!(conversation(store, cid(2)).await.number, 3);
}

/// Messages, changes of members and of details bring a conversation up; edits, deletions, reactions
/// and pins do not.
pub async fn what_an_inbox_shows_is_activity(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    let active = async || {
        let now = conversation(store, cid(1)).await;
        (now.active_seq.0, now.active_ms - NOW)
    };
    let at = |after_ms: u64, send: Send| Send { time_ms: NOW + after_ms, ..send };
    assert_eq!(active().await, (0, 0));
    place_of(store, at(5, send(cid(1), "alice:d", "a"))).await;
    assert_eq!(active().await, (1, 5));
    let target = Seq(1);
    let batch = [
        at(6, about(cid(1), "alice:d", "b", Act::edit(target))),
        at(7, about(cid(1), "alice:d", "c", Act::React { target })),
        at(8, about(cid(1), "alice:d", "d", Act::Pin { target })),
        at(9, about(cid(1), "alice:d", "e", Act::Unpin { target })),
    ];
    commit(store, &batch).await;
    assert_eq!(active().await, (1, 5));
    let joins = super::support::change(cid(1), None, add(&["bob"]));
    let joins = crate::change::ChangeRequest { time_ms: NOW + 20, ..joins };
    store.change(&joins).await.unwrap().unwrap();
    assert_eq!(active().await, (6, 20));
    place_of(store, at(30, about(cid(1), "alice:d", "f", Act::Delete { target }))).await;
    assert_eq!(active().await, (6, 20));
    let set = DetailsChange { title: Some("x".to_owned()), ..DetailsChange::default() };
    changed(store, cid(1), Ask::Details { set, based_on: None }).await;
    // The clock of that change stood at NOW: the newest entry counts, not the latest clock.
    assert_eq!(active().await, (8, 0));
    let batch = [at(40, send(cid(1), "bob:d", "g")), at(41, send(cid(1), "bob:d", "h"))];
    commit(store, &batch).await;
    assert_eq!(active().await, (10, 41));
}

/// Whom a message names comes back in the order in which it named them.
pub async fn mentions_come_back_as_sent(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let most: Vec<String> = (0..MENTIONS_MAX).map(|i| format!("u{i}")).collect();
    let most: Vec<&str> = most.iter().map(String::as_str).collect();
    let more: Vec<&str> = most.iter().copied().chain(["x"]).collect();
    let batch = [
        naming("alice:d", "a", &["zoe", "bob", "alice"]),
        naming("alice:d", "b", &most),
        naming("alice:d", "c", &more),
        naming("alice:d", "d", &["bob", "zoe", "bob"]),
    ];
    let fates = commit(store, &batch).await.fates;
    assert!(matches!(fates[2], Fate::Malformed(_)));
    let log = checked_log(store, cid(1)).await;
    let sent = [users(&["zoe", "bob", "alice"]), users(&most), users(&["bob", "zoe", "bob"])];
    assert_eq!(log.iter().map(|entry| entry.mentions.clone()).collect::<Vec<_>>(), sent);
    assert_eq!((mentions(store, "bob").await, mentions(store, "alice").await), (2, 0));
}

/// What mentions a user is counted while it is unread, once a message, and not the user's own.
pub async fn unread_mentions_are_counted(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob", "carol"]).await;
    let batch = [
        naming("alice:d", "a", &["bob"]),
        naming("carol:d", "b", &["bob", "alice", "bob"]),
        naming("bob:d", "c", &["bob", "carol"]),
        naming("alice:d", "d", &[]),
        naming("alice:d", "e", &["bob"]),
    ];
    commit(store, &batch).await;
    let counted = async || {
        let mut counts = Vec::new();
        for name in ["alice", "bob", "carol"] {
            let item = item(store, name, cid(1)).await.unwrap();
            assert!(item.mentions <= item.unread, "{item:?}");
            counts.push((item.unread, item.mentions));
        }
        counts
    };
    assert_eq!(counted().await, [(2, 1), (4, 3), (4, 1)]);
    report(store, "bob", &[reached(cid(1), 0, 1)]).await.unwrap();
    assert_eq!(counted().await, [(2, 1), (3, 2), (4, 1)]);
    report(store, "bob", &[reached(cid(1), 0, 5)]).await.unwrap();
    report(store, "alice", &[reached(cid(1), 5, 0)]).await.unwrap();
    assert_eq!(counted().await, [(2, 1), (0, 0), (4, 1)]);
    // Edits and reactions are no messages, and mention nobody.
    place_of(store, about(cid(1), "alice:d", "bob", Act::edit(Seq(5)))).await;
    assert_eq!(counted().await, [(2, 1), (0, 0), (4, 1)]);
}

/// A deleted message mentions nobody, nor does one whose body is gone by age: neither can be read.
pub async fn a_deleted_message_mentions_nobody(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    commit(store, &[naming("alice:d", "a", &["bob"]), naming("alice:d", "b", &["bob"])]).await;
    assert_eq!(mentions(store, "bob").await, 2);
    place_of(store, about(cid(1), "alice:d", "d", Act::Delete { target: Seq(1) })).await;
    assert_eq!(mentions(store, "bob").await, 1);
    let log = log_above(store, cid(1), 0).await;
    assert_eq!((&log[0].mentions, &log[1].mentions), (&vec![], &users(&["bob"])));
    let prune = Prune { now_ms: NOW, bodies_before_ms: Some(NOW + 1), rows_max: 100 };
    assert!(store.prune(prune).await.unwrap().bodies > 0);
    let item = item(store, "bob", cid(1)).await.unwrap();
    assert_eq!((item.unread, item.mentions), (0, 0));
}

/// An edit says anew whom its message names: in, out, by the last one, and a deletion ends it.
pub async fn an_edit_names_anew(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob", "carol"]).await;
    let edit = |key: &str, target: u64, names: &[&str]| {
        let act = Act::Edit { target: Seq(target), mentions: users(names) };
        about(cid(1), "alice:d", key, act)
    };
    commit(store, &[naming("alice:d", "a", &["bob"]), naming("alice:d", "b", &[])]).await;
    let counted = async || (mentions(store, "bob").await, mentions(store, "carol").await);
    let sound = async || store.check_inboxes(None, 9, false).await.unwrap().differences;
    assert_eq!(counted().await, (1, 0));
    place_of(store, edit("out", 1, &["carol", "alice", "carol"])).await;
    assert_eq!(counted().await, (0, 1));
    place_of(store, edit("in", 2, &["bob", "carol"])).await;
    assert_eq!((counted().await, sound().await), ((1, 2), vec![]));
    let log = log_above(store, cid(1), 2).await;
    assert_eq!(log[1].mentions, users(&["bob", "carol"]));
    let shown = item(store, "bob", cid(1)).await.unwrap().preview.unwrap();
    assert_eq!((shown.seq, shown.mentions), (Seq(2), users(&["bob", "carol"])));
    // Two in a batch: the last one counts. One that names nobody, where nobody was named, is nothing.
    let third = naming("alice:d", "c", &[]);
    commit(store, &[edit("x", 2, &["carol"]), edit("y", 2, &["bob"]), third]).await;
    assert_eq!(counted().await, (1, 1));
    place_of(store, edit("z", 7, &[])).await;
    assert_eq!((counted().await, sound().await), ((1, 1), vec![]));
    // What was read stays read, whoever is named in it later.
    report(store, "bob", &[reached(cid(1), 0, 7)]).await.unwrap();
    place_of(store, edit("late", 1, &["bob", "carol"])).await;
    assert_eq!(counted().await, (0, 1));
    // Deleted in the batch of its edit, and later.
    let delete = |key, target| about(cid(1), "alice:d", key, Act::Delete { target: Seq(target) });
    commit(store, &[edit("w", 7, &["carol"]), delete("d", 7), delete("e", 1)]).await;
    assert_eq!((counted().await, sound().await), ((0, 0), vec![]));
    let fate = commit(store, &[edit("many", 2, &["bob"; MENTIONS_MAX + 1])]).await.fates[0];
    assert!(matches!(fate, Fate::Malformed(_)), "{fate:?}");
    // Named by an edit after a leave: as good as any name, and nothing to be mended.
    changed(store, cid(1), remove(&["bob"])).await;
    place_of(store, edit("gone", 2, &["bob", "carol"])).await;
    changed(store, cid(1), add(&["bob"])).await;
    assert_eq!((counted().await, sound().await), ((0, 1), vec![]));
}

/// Who leaves is forgotten; who comes back, or comes later, is not mentioned by what was before.
pub async fn mentions_of_before_a_join_do_not_count(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    commit(store, &[naming("alice:d", "a", &["bob", "carol"])]).await;
    changed(store, cid(1), remove(&["bob"])).await;
    commit(store, &[naming("alice:d", "b", &["bob", "carol"])]).await;
    changed(store, cid(1), add(&["bob", "carol"])).await;
    for name in ["bob", "carol"] {
        let item = item(store, name, cid(1)).await.unwrap();
        assert_eq!((item.unread, item.mentions), (0, 0), "{name}");
    }
    commit(store, &[naming("alice:d", "c", &["bob", "carol"])]).await;
    assert_eq!((mentions(store, "bob").await, mentions(store, "carol").await), (1, 1));
}
