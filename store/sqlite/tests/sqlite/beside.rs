//! Two handles on one file: the numbers that a walk goes by are the file's, not the handle's.

use godwit_core::commit::Send;
use godwit_core::conformance::support::{NOW, cid, group, place_of, send, user};
use godwit_core::inbox::{InboxQuery, Inboxes as _, MarksChange};
use godwit_store_sqlite::SqliteStore;

use crate::fresh;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_meets_what_another_handle_moves() {
    let fresh = fresh().await;
    let other = SqliteStore::open(&fresh.file()).await.unwrap();
    let said = |number: u8, after_ms: u64, key: &str| Send {
        time_ms: NOW + after_ms,
        ..send(cid(number), "alice:d", key)
    };
    for number in 1..=6 {
        group(&fresh.store, cid(number), &["alice"]).await;
        place_of(&fresh.store, said(number, number.into(), "a")).await;
    }
    let alice = user("alice");
    let mut query = InboxQuery { limit: 2, ..InboxQuery::default() };
    let page = fresh.inbox(&alice, &query).await.unwrap();
    let mut met: Vec<_> = page.items.iter().map(|item| item.conversation).collect();
    query.after = page.next;
    // Both were asked for before the walk began.
    place_of(&other, said(1, 5, "late")).await;
    let pin = MarksChange { pinned_ms: Some(Some(NOW)), ..MarksChange::default() };
    other.change_marks(&alice, cid(2), &pin).await.unwrap().unwrap();
    while query.after.is_some() {
        let page = fresh.inbox(&alice, &query).await.unwrap();
        met.extend(page.items.iter().map(|item| item.conversation));
        query.after = page.next;
    }
    assert_eq!(met, [6, 5, 4, 3, 2, 1].map(cid));
}
