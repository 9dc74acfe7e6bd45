//! [`Store::open_sessions`], [`Store::close_sessions`], [`Store::change_subscriptions`].

use super::support::{NOW, behind, cid, device, group, keep, open_one, opening, say, start, to};
use crate::cursor::{Feed, Opened, Opening, Scope, Subscription, SubscriptionChange};
use crate::store::Store;

fn subscription(filter: &str, options: u8, identifier: Option<u32>) -> Subscription {
    Subscription { filter: filter.to_owned(), options, identifier }
}

async fn put(store: &dyn Store, who: &str, put: Vec<Subscription>) {
    let change = SubscriptionChange { put, ..SubscriptionChange::default() };
    store.change_subscriptions(&device(who), &change).await.unwrap();
}

/// An opening at so many seconds after [`NOW`].
fn later(opening: Opening, seconds: u64) -> Opening {
    Opening { time_ms: NOW + seconds * 1000, ..opening }
}

/// What an opening is answered, with the filters in order.
fn filters(opened: &Opened) -> (bool, Vec<&str>) {
    let mut filters: Vec<&str> =
        opened.subscriptions.iter().map(|kept| kept.filter.as_str()).collect();
    filters.sort_unstable();
    (opened.present, filters)
}

/// Expiry 0 and nothing kept: opening twice finds nothing.
pub async fn a_session_without_expiry_leaves_nothing(store: &dyn Store) {
    for clean in [true, false] {
        assert_eq!(open_one(store, opening("alice:d", clean, 0)).await, Opened::default());
    }
    store.close_sessions(&[opening("alice:d", false, 0)]).await.unwrap();
    assert_eq!(open_one(store, opening("alice:d", false, 9)).await, Opened::default());
}

/// Every field of a subscription comes back while the session lives.
pub async fn a_kept_session_comes_back_with_its_subscriptions(store: &dyn Store) {
    assert!(!open_one(store, opening("alice:d", false, 60)).await.present);
    let subscriptions = vec![
        subscription("c/__________________________w", 0b10_1101, Some(268_435_455)),
        subscription("m/#", 1, None),
        subscription("ünï/\"quoted\"/+", 255, Some(1)),
    ];
    put(store, "alice:d", subscriptions.clone()).await;
    store.close_sessions(&[opening("alice:d", false, 60)]).await.unwrap();
    let mut opened = open_one(store, later(opening("alice:d", false, 60), 59)).await;
    opened.subscriptions.sort_by(|a, b| a.filter.cmp(&b.filter));
    assert_eq!(opened, Opened { present: true, subscriptions });
}

/// `clean` forgets what was kept; what is asked for now is kept anew.
pub async fn a_clean_start_forgets(store: &dyn Store) {
    open_one(store, opening("alice:d", false, 60)).await;
    put(store, "alice:d", vec![subscription("m/#", 1, None)]).await;
    assert_eq!(open_one(store, opening("alice:d", true, 60)).await, Opened::default());
    assert_eq!(filters(&open_one(store, opening("alice:d", false, 60)).await), (true, vec![]));
    open_one(store, opening("alice:d", true, 0)).await;
    assert!(!open_one(store, opening("alice:d", false, 60)).await.present);
}

/// `expiry_s` after its connection ended, to the millisecond, a session is as if never kept.
pub async fn an_expired_session_is_forgotten(store: &dyn Store) {
    for (after_ms, present) in [(59_999, true), (60_000, false), (600_000, false)] {
        open_one(store, opening("alice:d", true, 60)).await;
        put(store, "alice:d", vec![subscription("m/#", 1, None)]).await;
        store.close_sessions(&[opening("alice:d", false, 60)]).await.unwrap();
        let again = Opening { time_ms: NOW + after_ms, ..opening("alice:d", false, 60) };
        let opened = open_one(store, again.clone()).await;
        assert_eq!(filters(&opened), (present, if present { vec!["m/#"] } else { vec![] }));
        // Opening it stored it, with or without what was there before.
        assert!(open_one(store, again).await.present);
    }
}

/// While connected, time does not count; the highest expiry means practically forever.
pub async fn an_open_session_does_not_expire(store: &dyn Store) {
    open_one(store, opening("alice:d", false, 1)).await;
    assert!(open_one(store, later(opening("alice:d", false, u32::MAX), 1_000_000)).await.present);
    store.close_sessions(&[opening("alice:d", false, u32::MAX)]).await.unwrap();
    let years_100 = 3_155_760_000;
    assert!(open_one(store, later(opening("alice:d", false, 1), years_100)).await.present);
}

/// The newest opening's expiry counts, and the end may name another (MQTT 5's DISCONNECT).
pub async fn opening_again_keeps_and_takes_the_new_expiry(store: &dyn Store) {
    open_one(store, opening("alice:d", false, 1000)).await;
    assert!(open_one(store, opening("alice:d", false, 0)).await.present);
    // With expiry 0 it lived as long as that connection; the next one is another.
    assert!(!open_one(store, opening("alice:d", false, 10)).await.present);
    store.close_sessions(&[later(opening("alice:d", true, 5), 100)]).await.unwrap();
    assert!(open_one(store, later(opening("alice:d", false, 10), 104)).await.present);
    store.close_sessions(&[later(opening("alice:d", true, 5), 200)]).await.unwrap();
    assert!(!open_one(store, later(opening("alice:d", false, 10), 205)).await.present);
}

/// The end with expiry 0 forgets at once, whatever the opening asked for.
pub async fn closing_with_expiry_zero_forgets(store: &dyn Store) {
    open_one(store, opening("alice:d", false, 60)).await;
    put(store, "alice:d", vec![subscription("m/#", 1, None)]).await;
    let ends = [opening("alice:d", false, 0), opening("alice:d", false, 60)];
    store.close_sessions(&ends).await.unwrap();
    assert_eq!(open_one(store, opening("alice:d", false, 60)).await, Opened::default());
    // An end of what is not kept makes nothing.
    store.close_sessions(&[opening("bob:d", false, 60)]).await.unwrap();
    assert!(!open_one(store, opening("bob:d", false, 60)).await.present);
}

/// Forgotten by `clean`, by the end, by expiry: the cursors of that device go, no others.
pub async fn a_forgotten_session_loses_its_cursors(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    say(store, cid(1), "bob:d", 4).await;
    let ways: [&[(bool, Opening)]; 3] = [
        &[(false, opening("alice:d", true, 60))],
        &[(true, opening("alice:d", false, 0))],
        &[(true, opening("alice:d", false, 1)), (false, later(opening("alice:d", false, 60), 5))],
    ];
    for way in ways {
        keep(store, &["alice:d", "alice:e"]).await;
        start(store, "alice:d", Feed::Plain, Scope::All).await;
        let moves = [to("alice:d", Feed::Log, cid(1), 3), to("alice:e", Feed::Log, cid(1), 3)];
        store.move_cursors(&moves).await.unwrap();
        assert_eq!(behind(store, "alice:d", Feed::Log).await, [(cid(1), 3, 4)]);
        for (close, step) in way {
            let step = std::slice::from_ref(step);
            match close {
                true => store.close_sessions(step).await.unwrap(),
                false => drop(store.open_sessions(step).await.unwrap()),
            }
        }
        assert_eq!(behind(store, "alice:d", Feed::Log).await, [(cid(1), 0, 4)]);
        assert_eq!(behind(store, "alice:d", Feed::Plain).await, [(cid(1), 0, 4)]);
        assert_eq!(behind(store, "alice:e", Feed::Log).await, [(cid(1), 3, 4)]);
    }
}

/// The second opening of a device in a batch finds what the first left.
pub async fn a_device_twice_in_a_batch_is_answered_in_order(store: &dyn Store) {
    let batch = [
        opening("alice:d", false, 60),
        opening("bob:d", false, 0),
        opening("alice:d", false, 60),
        opening("alice:d", true, 60),
        opening("bob:d", false, 60),
        opening("alice:d", false, 60),
    ];
    let answers = store.open_sessions(&batch).await.unwrap();
    let present: Vec<bool> = answers.iter().map(|answer| answer.present).collect();
    assert_eq!(present, [false, false, true, false, false, true]);
    assert!(open_one(store, opening("bob:d", false, 60)).await.present);
    assert!(store.open_sessions(&[]).await.unwrap().is_empty());
}

/// Neighbours in a batch, with names that run into each other, keep their own.
pub async fn sessions_of_a_batch_do_not_touch_each_other(store: &dyn Store) {
    let names = ["a:bc", "ab:c", "alice:d", "alice:e", "bob:d"];
    keep(store, &names).await;
    for name in names {
        put(store, name, vec![subscription(name, 1, None)]).await;
    }
    let batch: Vec<Opening> = names
        .iter()
        .map(|name| opening(name, *name == "alice:d", 60))
        .chain([opening("alice:unknown", false, 60)])
        .collect();
    let answers = store.open_sessions(&batch).await.unwrap();
    for (name, answer) in names.iter().zip(&answers) {
        let kept = if *name == "alice:d" { (false, vec![]) } else { (true, vec![*name]) };
        assert_eq!(filters(answer), kept, "{name}");
    }
    assert!(!answers[5].present);
}

/// Put adds, or replaces the same filter; remove ends those named and ignores others.
pub async fn subscriptions_are_put_replaced_and_removed(store: &dyn Store) {
    keep(store, &["alice:d"]).await;
    put(store, "alice:d", vec![subscription("m/#", 1, Some(4)), subscription("a", 1, None)]).await;
    let change = SubscriptionChange {
        put: vec![subscription("m/#", 2, None), subscription("x", 0, None)],
        remove: vec!["a".to_owned(), "unknown".to_owned()],
        ..SubscriptionChange::default()
    };
    store.change_subscriptions(&device("alice:d"), &change).await.unwrap();
    let mut kept = open_one(store, opening("alice:d", false, 60)).await.subscriptions;
    kept.sort_by(|a, b| a.filter.cmp(&b.filter));
    assert_eq!(kept, [subscription("m/#", 2, None), subscription("x", 0, None)]);
}

/// Changes for a device whose session is not kept store nothing that a later one would find.
pub async fn without_a_session_nothing_is_stored(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    say(store, cid(1), "alice:e", 2).await;
    put(store, "alice:d", vec![subscription("m/#", 1, None)]).await;
    start(store, "alice:d", Feed::Log, Scope::All).await;
    assert_eq!(behind(store, "alice:d", Feed::Log).await, [(cid(1), 0, 2)]);
    assert_eq!(open_one(store, opening("alice:d", false, 60)).await, Opened::default());
}
