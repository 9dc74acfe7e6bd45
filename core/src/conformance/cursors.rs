//! [`Store::behind`], [`Store::move_cursors`], and the feeds of
//! [`Store::change_subscriptions`].

use super::support::{
    add, behind, changed, cid, device, group, join_all, keep, remove, say, start, to,
};
use crate::cursor::{Feed, Move, Scope, SubscriptionChange};
use crate::ids::{ConversationId, Seq};
use crate::store::Store;

/// Two conversations of alice and bob with `count` messages each; alice's phone is kept.
async fn ground(store: &dyn Store, count: usize) {
    for number in 1..=2 {
        group(store, cid(number), &["bob", "alice"]).await;
        say(store, cid(number), "bob:d", count).await;
    }
    keep(store, &["alice:d", "alice:e", "bob:d"]).await;
}

async fn stop(store: &dyn Store, who: &str, feed: Feed, scope: Scope) {
    let change = SubscriptionChange { stop: vec![(feed, scope)], ..SubscriptionChange::default() };
    store.change_subscriptions(&device(who), &change).await.unwrap();
}

/// No cursor: everything since the user joined; an empty log has nothing to read.
pub async fn without_a_cursor_reading_starts_where_the_user_joined(store: &dyn Store) {
    group(store, cid(3), &["alice"]).await;
    ground(store, 3).await;
    assert_eq!(behind(store, "alice:d", Feed::Log).await, [(cid(1), 0, 3), (cid(2), 0, 3)]);
    changed(store, cid(1), add(&["carol"])).await;
    say(store, cid(1), "bob:d", 1).await;
    assert_eq!(behind(store, "carol:x", Feed::Log).await, [(cid(1), 3, 5)]);
}

/// A feed that starts has nothing to read until something comes; later conversations count too.
pub async fn a_start_begins_at_the_head(store: &dyn Store) {
    ground(store, 3).await;
    start(store, "alice:d", Feed::Log, Scope::All).await;
    assert!(behind(store, "alice:d", Feed::Log).await.is_empty());
    say(store, cid(2), "bob:d", 2).await;
    group(store, cid(4), &["alice"]).await;
    say(store, cid(4), "alice:e", 1).await;
    assert_eq!(behind(store, "alice:d", Feed::Log).await, [(cid(2), 3, 5), (cid(4), 0, 1)]);
}

/// Subscribing again does not skip what was not read yet.
pub async fn a_start_never_moves_a_cursor(store: &dyn Store) {
    ground(store, 3).await;
    store.move_cursors(&[to("alice:d", Feed::Log, cid(1), 1)]).await.unwrap();
    start(store, "alice:d", Feed::Log, Scope::All).await;
    assert_eq!(behind(store, "alice:d", Feed::Log).await, [(cid(1), 1, 3)]);
    start(store, "alice:d", Feed::Log, Scope::One(cid(1))).await;
    assert_eq!(behind(store, "alice:d", Feed::Log).await, [(cid(1), 1, 3)]);
}

/// One conversation, one feed; where the user is no member nothing starts.
pub async fn a_start_of_one_touches_no_other(store: &dyn Store) {
    ground(store, 3).await;
    group(store, cid(5), &["bob"]).await;
    start(store, "alice:d", Feed::Plain, Scope::One(cid(2))).await;
    start(store, "alice:d", Feed::Plain, Scope::One(cid(5))).await;
    start(store, "alice:d", Feed::Plain, Scope::One(cid(99))).await;
    assert_eq!(behind(store, "alice:d", Feed::Plain).await, [(cid(1), 0, 3)]);
    assert_eq!(behind(store, "alice:d", Feed::Log).await.len(), 2);
    say(store, cid(5), "bob:d", 1).await;
    let (_, after) = changed(store, cid(5), add(&["alice"])).await;
    assert_eq!(after.head_seq, Seq(2));
    assert_eq!(behind(store, "alice:d", Feed::Plain).await[1], (cid(5), 1, 2));
}

/// A stopped feed's cursors are forgotten, in its scope only; a stop goes before a start.
pub async fn a_stop_forgets(store: &dyn Store) {
    ground(store, 3).await;
    start(store, "alice:d", Feed::Log, Scope::All).await;
    start(store, "alice:d", Feed::Plain, Scope::All).await;
    stop(store, "alice:d", Feed::Log, Scope::One(cid(1))).await;
    assert_eq!(behind(store, "alice:d", Feed::Log).await, [(cid(1), 0, 3)]);
    stop(store, "alice:d", Feed::Log, Scope::All).await;
    assert_eq!(behind(store, "alice:d", Feed::Log).await.len(), 2);
    assert!(behind(store, "alice:d", Feed::Plain).await.is_empty());
    say(store, cid(1), "bob:d", 1).await;
    let again = SubscriptionChange {
        start: vec![(Feed::Plain, Scope::One(cid(1)))],
        stop: vec![(Feed::Plain, Scope::One(cid(1)))],
        ..SubscriptionChange::default()
    };
    store.change_subscriptions(&device("alice:d"), &again).await.unwrap();
    assert!(behind(store, "alice:d", Feed::Plain).await.is_empty());
}

/// A lower or equal place changes nothing; the head ends being behind.
pub async fn cursors_move_forward_only(store: &dyn Store) {
    ground(store, 5).await;
    for (seq, delivered) in [(2, 2), (1, 2), (2, 2), (4, 4), (0, 4)] {
        store.move_cursors(&[to("alice:d", Feed::Log, cid(1), seq)]).await.unwrap();
        assert_eq!(behind(store, "alice:d", Feed::Log).await[0], (cid(1), delivered, 5));
    }
    store.move_cursors(&[to("alice:d", Feed::Log, cid(1), 5)]).await.unwrap();
    assert_eq!(behind(store, "alice:d", Feed::Log).await, [(cid(2), 0, 5)]);
    store.move_cursors(&[]).await.unwrap();
}

/// A cursor several times in one batch, in any order.
pub async fn the_highest_of_a_batch_counts(store: &dyn Store) {
    ground(store, 9).await;
    for round in 0..2 {
        let moves = [1, 4, 3, 2].map(|seq| to("alice:d", Feed::Log, cid(1), seq + round * 4));
        store.move_cursors(&moves).await.unwrap();
        let delivered = 4 + round * 4;
        assert_eq!(behind(store, "alice:d", Feed::Log).await[0], (cid(1), delivered, 9));
    }
}

/// Each feed of each device has its own cursor, also when one batch moves new and old ones.
pub async fn feeds_and_devices_are_apart(store: &dyn Store) {
    ground(store, 5).await;
    store.move_cursors(&[to("alice:d", Feed::Log, cid(1), 1)]).await.unwrap();
    let moves = [
        to("alice:d", Feed::Log, cid(1), 2),
        to("alice:d", Feed::Plain, cid(1), 3),
        to("alice:e", Feed::Log, cid(1), 4),
        to("bob:d", Feed::Log, cid(2), 1),
    ];
    store.move_cursors(&moves).await.unwrap();
    assert_eq!(behind(store, "alice:d", Feed::Log).await, [(cid(1), 2, 5), (cid(2), 0, 5)]);
    assert_eq!(behind(store, "alice:d", Feed::Plain).await, [(cid(1), 3, 5), (cid(2), 0, 5)]);
    assert_eq!(behind(store, "alice:e", Feed::Log).await, [(cid(1), 4, 5), (cid(2), 0, 5)]);
    assert_eq!(behind(store, "alice:e", Feed::Plain).await, [(cid(1), 0, 5), (cid(2), 0, 5)]);
    assert_eq!(behind(store, "bob:d", Feed::Log).await, [(cid(1), 0, 5), (cid(2), 1, 5)]);
}

/// Ordered by id, above `after`, at most `limit`.
pub async fn behind_is_paged_by_conversation(store: &dyn Store) {
    for number in [9, 2, 0xfe, 5, 7] {
        group(store, cid(number), &["alice"]).await;
        say(store, cid(number), "alice:e", 1).await;
    }
    keep(store, &["alice:d"]).await;
    store.move_cursors(&[to("alice:d", Feed::Log, cid(5), 1)]).await.unwrap();
    let page = async |after: Option<ConversationId>, limit| -> Vec<ConversationId> {
        let rows = store.behind(&device("alice:d"), Feed::Log, after, limit).await.unwrap();
        rows.iter().map(|row| row.conversation).collect()
    };
    assert_eq!(page(None, 2).await, [cid(2), cid(7)]);
    assert_eq!(page(Some(cid(7)), 2).await, [cid(9), cid(0xfe)]);
    assert!(page(Some(cid(0xfe)), 2).await.is_empty());
}

/// Strangers and those who left have nothing to read.
pub async fn only_members_are_behind(store: &dyn Store) {
    ground(store, 2).await;
    assert!(behind(store, "eve:d", Feed::Log).await.is_empty());
    changed(store, cid(1), remove(&["alice"])).await;
    assert_eq!(behind(store, "alice:d", Feed::Log).await, [(cid(2), 0, 2)]);
}

/// Neither makes a cursor, and the others of the same batch are moved.
pub async fn moves_of_strangers_and_of_unkept_sessions_are_ignored(store: &dyn Store) {
    ground(store, 4).await;
    keep(store, &["eve:d"]).await;
    let moves = [
        to("eve:d", Feed::Log, cid(1), 2),
        to("alice:unkept", Feed::Log, cid(1), 2),
        to("alice:d", Feed::Log, cid(77), 2),
        to("alice:d", Feed::Log, cid(1), 2),
    ];
    store.move_cursors(&moves).await.unwrap();
    assert_eq!(behind(store, "alice:d", Feed::Log).await[0], (cid(1), 2, 4));
    assert_eq!(behind(store, "alice:unkept", Feed::Log).await[0], (cid(1), 0, 4));
    changed(store, cid(1), add(&["eve"])).await;
    say(store, cid(1), "eve:d", 1).await;
    assert_eq!(behind(store, "eve:d", Feed::Log).await, [(cid(1), 4, 6)]);
}

/// Many batches at once, new and old cursors among them.
pub async fn concurrent_moves_end_at_the_highest(store: &dyn Store) {
    ground(store, 20).await;
    let batches: Vec<Vec<Move>> = (0..8u64)
        .map(|i| {
            let both =
                [to("alice:d", Feed::Log, cid(1), i + 1), to("alice:d", Feed::Log, cid(2), 9 - i)];
            if i % 2 == 0 { both.to_vec() } else { both.into_iter().rev().collect() }
        })
        .collect();
    for result in join_all(batches.iter().map(|moves| store.move_cursors(moves)).collect()).await {
        result.unwrap();
    }
    assert_eq!(behind(store, "alice:d", Feed::Log).await, [(cid(1), 8, 20), (cid(2), 9, 20)]);
}
