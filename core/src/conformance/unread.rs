//! Unread and mentions over what can be read, the badge, and what sending reads.

use super::damage::{Damage, Harm};
use super::support::{
    NOW, about, cid, commit, commit_one, group, item, place_of, reached, report, say, send, user,
};
use crate::commit::{Act, Fate, ReadTo, Send};
use crate::ids::Seq;
use crate::inbox::{Badge, InboxQuery, MarksChange};
use crate::limits::{BATCH_SENDS_MAX, MENTIONS_COUNTED_MAX, UNREAD_SCAN_MAX};
use crate::receipt::Cursors;
use crate::store::{Prune, Store};

async fn mark(store: &dyn Store, who: &str, number: u8, change: MarksChange) {
    store.change_marks(&user(who), cid(number), &change).await.unwrap().unwrap();
}

fn naming(number: u8, key: &str, name: &str) -> Send {
    let act = Act::Message { reply_to: None, mentions: vec![user(name)] };
    Send { act, ..send(cid(number), "alice:d", key) }
}

fn delete(from: &str, key: &str, target: u64) -> Send {
    about(cid(1), from, key, Act::Delete { target: Seq(target) })
}

/// Bob's unread and mentions in the first conversation so long after [`NOW`]; the badge says the same.
async fn counted(store: &dyn Store, after_ms: u64) -> (u64, u64) {
    let now_ms = NOW + after_ms;
    let query = InboxQuery { only: Some(cid(1)), limit: 1, now_ms, ..InboxQuery::default() };
    let item = store.inbox(&user("bob"), &query).await.unwrap().items.remove(0);
    let badge = store.badge(&user("bob"), now_ms).await.unwrap();
    assert_eq!((badge.unread, badge.mentions), (item.unread, item.mentions));
    (item.unread, item.mentions)
}

/// Deleted, expired, aged: whatever the way, what cannot be read is not unread and mentions nobody.
pub async fn what_cannot_be_read_is_not_unread(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let expiring =
        |key: &str, after| Send { expires_ms: Some(NOW + after), ..naming(1, key, "bob") };
    commit(store, &[expiring("a", 50), expiring("b", 60), send(cid(1), "alice:d", "c")]).await;
    assert_eq!((counted(store, 0).await, counted(store, 49).await), ((3, 2), (3, 2)));
    // Expired at its time, whether its body was removed already or not.
    assert_eq!((counted(store, 50).await, counted(store, 60).await), ((2, 1), (1, 0)));
    let prune = |now| Prune { now_ms: NOW + now, bodies_before_ms: None, rows_max: 100 };
    store.prune(prune(55)).await.unwrap();
    assert_eq!((counted(store, 0).await, counted(store, 60).await), ((2, 1), (1, 0)));
    store.prune(prune(65)).await.unwrap();
    place_of(store, delete("alice:d", "d", 3)).await;
    assert_eq!(counted(store, 65).await, (0, 0));
    // An own message that is deleted is left out once.
    place_of(store, send(cid(1), "bob:d", "own")).await;
    place_of(store, delete("bob:d", "e", 5)).await;
    say(store, cid(1), "alice:d", 1).await;
    assert_eq!(counted(store, 65).await, (1, 0));
    let aged = Prune { now_ms: NOW, bodies_before_ms: Some(NOW + 1), rows_max: 100 };
    store.prune(aged).await.unwrap();
    assert_eq!(counted(store, 65).await, (0, 0));
    assert_eq!(store.check_inboxes(None, 9, false).await.unwrap().differences, []);
}

/// Also far below the head, where entries are not looked through one by one.
pub async fn unread_far_below_the_head_is_true(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let all = u64::from(UNREAD_SCAN_MAX) + 200;
    for _ in 0..4 {
        say(store, cid(1), "alice:d", usize::try_from(all / 4).unwrap()).await;
    }
    let unread = async || item(store, "bob", cid(1)).await.unwrap().unread;
    assert_eq!(unread().await, all);
    let far: Vec<Send> = (10..20).map(|n| delete("alice:d", &format!("far-{n}"), n)).collect();
    commit(store, &far).await;
    commit(store, &[delete("alice:d", "near", all - 5)]).await;
    assert_eq!(unread().await, all - 11);
    report(store, "bob", &[reached(cid(1), 0, 15)]).await.unwrap();
    assert_eq!(unread().await, all - 15 - 5);
    let aged = Prune { now_ms: NOW, bodies_before_ms: Some(NOW + 1), rows_max: 10_000 };
    store.prune(aged).await.unwrap();
    assert_eq!(counted(store, 0).await, (0, 0));
}

/// Mentions are looked up one by one: the newest so many.
pub async fn mentions_are_counted_up_to_a_bound(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let all = MENTIONS_COUNTED_MAX + 5;
    let named: Vec<Send> = (0..all).map(|n| naming(1, &format!("n{n}"), "bob")).collect();
    for batch in named.chunks(250) {
        commit(store, batch).await;
    }
    let most = (u64::from(all), u64::from(MENTIONS_COUNTED_MAX));
    let item = item(store, "bob", cid(1)).await.unwrap();
    assert_eq!((item.unread, item.mentions), most);
    report(store, "bob", &[reached(cid(1), 0, 7)]).await.unwrap();
    assert_eq!(counted(store, 0).await, (most.0 - 7, most.0 - 7));
}

/// A message reads its conversation up to itself, for its sender, when it says so; nothing else does.
pub async fn sending_reads_up_to_the_message(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    say(store, cid(1), "alice:d", 3).await;
    let bobs = async || {
        let item = item(store, "bob", cid(1)).await.unwrap();
        (item.cursors.delivered.0, item.cursors.read.0, item.unread, item.marks.marked_unread)
    };
    let unread = MarksChange { marked_unread: Some(true), ..MarksChange::default() };
    mark(store, "bob", 1, unread).await;
    report(store, "bob", &[reached(cid(1), 2, 1)]).await.unwrap();
    mark(store, "bob", 1, unread).await;
    assert_eq!(bobs().await, (2, 1, 2, true));
    let say_reading = |key: &str| Send { reads: true, ..send(cid(1), "bob:d", key) };
    let first = say_reading("a");
    let committed = commit(store, std::slice::from_ref(&first)).await;
    let to = |seq, own, number| ReadTo {
        conversation: cid(1),
        from: "bob:d".parse().unwrap(),
        seq: Seq(seq),
        own,
        number,
    };
    let at = |delivered, read| Cursors { delivered: Seq(delivered), read: Seq(read) };
    assert_eq!(committed.read, [(to(4, 1, 4), at(2, 1))]);
    assert_eq!(bobs().await, (4, 4, 0, false));
    // Only the own message was read: that is no news, but stands.
    assert_eq!(commit(store, &[say_reading("b")]).await.read, []);
    assert_eq!(bobs().await, (5, 5, 0, false));
    // Told otherwise; what repeats, is refused, or is no message.
    place_of(store, send(cid(1), "bob:d", "keep")).await;
    say(store, cid(1), "alice:d", 1).await;
    commit_one(store, first).await;
    let edit = about(cid(1), "bob:d", "e", Act::edit(Seq(4)));
    place_of(store, Send { reads: true, ..edit }).await;
    let stale = Send { group_version: Some(9), ..say_reading("stale") };
    let fate = commit_one(store, stale).await;
    assert!(matches!(fate, Fate::StaleGroup { .. }), "{fate:?}");
    assert_eq!(bobs().await, (5, 5, 1, false));
    // The last of a batch counts, whoever else speaks in it.
    let batch = [say_reading("x"), send(cid(1), "alice:d", "y"), say_reading("z")];
    assert_eq!(commit(store, &batch).await.read, [(to(11, 2, 10), at(5, 5))]);
    assert_eq!(bobs().await, (11, 11, 0, false));
    let receipts = store.receipts(cid(1)).await.unwrap();
    assert_eq!(receipts.iter().map(|r| r.cursors).collect::<Vec<_>>(), [at(11, 11)]);
    // What others do that is no message is nothing to be read.
    place_of(store, about(cid(1), "alice:d", "heart", Act::React { target: Seq(4) })).await;
    assert_eq!(commit(store, &[say_reading("after")]).await.read, []);
    // With a deletion in the batch it is written otherwise.
    let batch = [delete("bob:d", "del", 11), say_reading("last")];
    commit(store, &batch).await;
    assert_eq!(bobs().await, (15, 15, 0, false));
}

/// Unread and mentions of what is not archived; of the muted, mentions alone.
pub async fn a_badge_is_the_sum_of_an_inbox(store: &dyn Store) {
    for number in 1..=4 {
        group(store, cid(number), &["alice", "bob"]).await;
    }
    group(store, cid(5), &["alice"]).await;
    let badge = async || store.badge(&user("bob"), NOW + 100).await.unwrap();
    assert_eq!(badge().await, Badge::default());
    say(store, cid(1), "alice:d", 3).await;
    place_of(store, naming(1, "n", "bob")).await;
    say(store, cid(2), "alice:d", 2).await;
    place_of(store, naming(2, "n", "bob")).await;
    say(store, cid(3), "alice:d", 1).await;
    say(store, cid(5), "alice:d", 9).await;
    assert_eq!(badge().await, Badge { unread: 8, mentions: 2, conversations: 3 });
    let mute = |until| MarksChange { muted_until_ms: Some(Some(until)), ..MarksChange::default() };
    mark(store, "bob", 2, mute(NOW + 101)).await;
    mark(store, "bob", 1, mute(NOW + 100)).await;
    mark(store, "bob", 3, MarksChange { archived: Some(true), ..MarksChange::default() }).await;
    assert_eq!(badge().await, Badge { unread: 4, mentions: 2, conversations: 1 });
    mark(store, "bob", 4, MarksChange { marked_unread: Some(true), ..MarksChange::default() })
        .await;
    report(store, "bob", &[reached(cid(1), 0, 4)]).await.unwrap();
    assert_eq!(badge().await, Badge { unread: 0, mentions: 1, conversations: 1 });
}

/// A badge looks as far into each conversation as its item does: what has expired, is gone or one's own
/// is not unread in the one and unread in the other.
pub async fn a_badge_looks_as_far_as_an_inbox(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let said = |from: &str, key: String, expires_ms| Send {
        expires_ms,
        reads: false,
        ..send(cid(1), from, &key)
    };
    let early: Vec<Send> = (0..40)
        .map(|n| said("alice:d", format!("a{n}"), Some(NOW + 50)))
        .chain((0..5).map(|n| said("bob:d", format!("b{n}"), None)))
        .collect();
    commit(store, &early).await;
    say(store, cid(1), "alice:d", 300).await;
    assert_eq!((counted(store, 0).await, counted(store, 60).await), ((340, 0), (300, 0)));
}

/// However many messages are gone far below the head, they are not unread: also more than are counted
/// one by one.
pub async fn unread_above_very_many_gone_is_true(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let said = |from: u32, count: u32, expires_ms: Option<u64>| {
        let send = |n| Send { expires_ms, ..send(cid(1), "alice:d", &format!("m{n}")) };
        (from..from + count).map(send).collect::<Vec<_>>()
    };
    // Some that stay, many that go, some that stay.
    for (from, count, expires_ms) in
        [(0, 7, None), (7, 11_000, Some(NOW + 5)), (11_007, 1_100, None)]
    {
        for batch in said(from, count, expires_ms).chunks(BATCH_SENDS_MAX) {
            commit(store, batch).await;
        }
    }
    assert_eq!(counted(store, 0).await.0, 12_107);
    let due = Prune { now_ms: NOW + 5, bodies_before_ms: None, rows_max: 3_000 };
    while store.prune(due).await.unwrap().bodies > 0 {}
    assert_eq!(counted(store, 5).await.0, 1_107);
    // From any place on, at the borders of what is counted together and between them.
    for (read, unread) in [(3, 1_104), (8, 1_100), (1_023, 1_100), (1_024, 1_100), (9_000, 1_100)] {
        report(store, "bob", &[reached(cid(1), 0, read)]).await.unwrap();
        assert_eq!(counted(store, 5).await.0, unread, "from {read} on");
    }
    assert_eq!(store.check_inboxes(None, 9, false).await.unwrap().differences, []);
}

/// Where a log has lost entries, cursors above its end are noticed, taken back and stay so, whether the
/// user looks, reports, or the store starts.
pub async fn cursors_above_the_head_are_taken_back(store: &dyn Store, harm: &dyn Harm) {
    group(store, cid(1), &["alice", "bob"]).await;
    say(store, cid(1), "alice:d", 3).await;
    let ahead =
        || Damage::Cursors { conversation: cid(1), user: user("bob"), delivered: 9, read: 8 };
    let sound = async || store.check_inboxes(None, 9, false).await.unwrap().differences;
    harm.harm(ahead()).await;
    let seen = item(store, "bob", cid(1)).await.unwrap();
    assert_eq!((seen.cursors.delivered, seen.cursors.read, seen.unread), (Seq(3), Seq(3), 0));
    assert_eq!(sound().await, []);
    say(store, cid(1), "alice:d", 1).await;
    assert_eq!(item(store, "bob", cid(1)).await.unwrap().unread, 1);
    harm.harm(ahead()).await;
    assert_eq!(report(store, "bob", &[reached(cid(1), 2, 0)]).await, Ok(vec![]));
    assert_eq!(sound().await, []);
    let receipts = store.receipts(cid(1)).await.unwrap();
    assert_eq!(receipts[0].cursors, Cursors { delivered: Seq(4), read: Seq(4) });
}
