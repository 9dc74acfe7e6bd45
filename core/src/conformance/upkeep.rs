//! [`Store::outbox`], [`Store::outbox_done`], [`Store::prune`], [`Store::ping`].

use super::support::{
    NOW, add, behind, changed, checked_log, cid, commit, group, keep, open_one, opening, say, send,
    to,
};
use crate::commit::Send;
use crate::cursor::{Feed, Opening};
use crate::entry::Entry;
use crate::ids::Seq;
use crate::store::{OutboxEvent, Prune, Pruned, Range, Store};

const DAY_MS: u64 = 86_400_000;

async fn log(store: &dyn Store) -> Vec<Entry> {
    store.read_log(cid(1), Range::above(Seq::ZERO), 100, usize::MAX).await.unwrap().unwrap().entries
}

async fn prune(store: &dyn Store, now_ms: u64, before: Option<u64>, rows_max: u32) -> Pruned {
    store.prune(Prune { now_ms, bodies_before_ms: before, rows_max }).await.unwrap()
}

/// Every entry, of whatever kind, has one event; ids rise, and within a conversation so do places.
pub async fn the_outbox_holds_every_entry_in_order(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    group(store, cid(2), &["alice"]).await;
    let batch = [(2, "a"), (1, "a"), (2, "b")].map(|(id, key)| send(cid(id), "alice:d", key));
    commit(store, &batch).await;
    changed(store, cid(1), add(&["bob"])).await;
    say(store, cid(2), "alice:d", 1).await;
    let events = store.outbox(100).await.unwrap();
    assert!(events.windows(2).all(|pair| pair[0].id < pair[1].id));
    let of = |id| -> Vec<u64> {
        events.iter().filter(|e| e.conversation == id).map(|e| e.seq.0).collect()
    };
    assert_eq!((of(cid(1)), of(cid(2))), (vec![1, 2], vec![1, 2, 3]));
}

/// Done events do not come back; ids that are not there are ignored; new ids are above old ones.
pub async fn done_events_are_gone_and_unknown_ids_ignored(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    say(store, cid(1), "alice:d", 3).await;
    let events = store.outbox(10).await.unwrap();
    store.outbox_done(&[]).await.unwrap();
    store.outbox_done(&[events[1].id, i64::MAX, -1]).await.unwrap();
    assert_eq!(store.outbox(10).await.unwrap(), [events[0], events[2]]);
    let ids: Vec<i64> = events.iter().map(|event| event.id).collect();
    store.outbox_done(&ids).await.unwrap();
    assert!(store.outbox(10).await.unwrap().is_empty());
    say(store, cid(1), "alice:d", 1).await;
    let after = store.outbox(10).await.unwrap();
    assert!(after[0].id > events[2].id, "an id is never given twice");
    assert_eq!(after, [OutboxEvent { seq: Seq(4), ..after[0] }]);
}

/// The oldest first, and again until they are done.
pub async fn an_outbox_page_is_bounded_and_repeated_until_done(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    say(store, cid(1), "alice:d", 5).await;
    let page = store.outbox(2).await.unwrap();
    assert_eq!(page.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(store.outbox(2).await.unwrap(), page);
    store.outbox_done(&[page[0].id, page[1].id]).await.unwrap();
    let page = store.outbox(2).await.unwrap();
    assert_eq!(page.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [3, 4]);
}

/// The entry stays with all but its body; what is younger keeps it, and so does the chain.
pub async fn old_bodies_become_tombstones(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    let batch: Vec<Send> = (0..4u64)
        .map(|day| Send {
            time_ms: NOW + day * DAY_MS,
            ..send(cid(1), "alice:d", &format!("k{day}"))
        })
        .collect();
    commit(store, &batch).await;
    let before = checked_log(store, cid(1)).await;
    assert_eq!(prune(store, NOW + 9 * DAY_MS, None, 100).await, Pruned::default());
    let pruned = prune(store, NOW, Some(NOW + 2 * DAY_MS), 100).await;
    assert_eq!(pruned, Pruned { bodies: 2, ..Pruned::default() });
    let expected: Vec<Entry> = before
        .into_iter()
        .map(|entry| match entry.time_ms < NOW + 2 * DAY_MS {
            true => Entry { body: bytes::Bytes::new(), body_gone: true, ..entry },
            false => entry,
        })
        .collect();
    assert_eq!(log(store).await, expected);
    assert_eq!(prune(store, NOW, Some(NOW + 2 * DAY_MS), 100).await, Pruned::default());
    // A key outlives its body: a late retry is still a duplicate.
    let again = commit(store, &batch[..1]).await;
    assert!(again.entries.is_empty());
}

/// From its own time on a body is due, without any age given.
pub async fn expired_bodies_become_tombstones(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    let batch: Vec<Send> = [Some(NOW + 10), Some(NOW + 11), None]
        .into_iter()
        .enumerate()
        .map(|(i, expires_ms)| Send { expires_ms, ..send(cid(1), "alice:d", &format!("k{i}")) })
        .collect();
    commit(store, &batch).await;
    assert_eq!(prune(store, NOW + 9, None, 100).await.bodies, 0);
    assert_eq!(prune(store, NOW + 10, None, 100).await.bodies, 1);
    let gone: Vec<(bool, bool)> =
        log(store).await.iter().map(|e| (e.body_gone, e.body.is_empty())).collect();
    assert_eq!(gone, [(true, true), (false, false), (false, false)]);
    assert_eq!(log(store).await[0].expires_ms, Some(NOW + 10));
    assert_eq!(prune(store, NOW + 11, None, 100).await.bodies, 1);
}

/// At most `rows_max` of each kind in one call; repeating it comes to an end.
pub async fn pruning_is_bounded_and_goes_on(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    let batch: Vec<Send> = (0..5u64)
        .map(|i| Send {
            expires_ms: (i < 2).then_some(NOW + 1),
            ..send(cid(1), "alice:d", &format!("k{i}"))
        })
        .collect();
    commit(store, &batch).await;
    let devices: Vec<Opening> = (0..4).map(|i| opening(&format!("alice:d{i}"), false, 1)).collect();
    store.open_sessions(&devices).await.unwrap();
    store.close_sessions(&devices).await.unwrap();
    let mut total = Pruned::default();
    for expected in [(3, 3), (2, 1), (0, 0)] {
        let pruned = prune(store, NOW + 5000, Some(NOW + 5000), 3).await;
        assert_eq!((pruned.bodies, pruned.sessions), expected);
        total.bodies += pruned.bodies;
        total.sessions += pruned.sessions;
    }
    assert_eq!(total, Pruned { bodies: 5, sessions: 4, ..Pruned::default() });
    assert!(log(store).await.iter().all(|entry| entry.body_gone));
}

/// With their cursors; those that are open or not yet due stay.
pub async fn expired_sessions_are_pruned(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    say(store, cid(1), "alice:x", 3).await;
    keep(store, &["alice:due", "alice:open", "alice:later"]).await;
    let moves = ["alice:due", "alice:open", "alice:later"].map(|d| to(d, Feed::Log, cid(1), 2));
    store.move_cursors(&moves).await.unwrap();
    let ends = [opening("alice:due", false, 60), opening("alice:later", false, 61)];
    store.close_sessions(&ends).await.unwrap();
    assert_eq!(prune(store, NOW + 59_999, None, 9).await.sessions, 0);
    assert_eq!(prune(store, NOW + 60_000, None, 9).await.sessions, 1);
    assert_eq!(behind(store, "alice:due", Feed::Log).await, [(cid(1), 0, 3)]);
    for stays in ["alice:open", "alice:later"] {
        assert_eq!(behind(store, stays, Feed::Log).await, [(cid(1), 2, 3)]);
        assert!(open_one(store, opening(stays, false, 60)).await.present);
    }
    assert!(!open_one(store, opening("alice:due", false, 60)).await.present);
}

/// `ping`.
pub async fn a_store_answers(store: &dyn Store) {
    store.ping().await.unwrap();
}
