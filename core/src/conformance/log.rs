//! [`Store::read_log`].

use bytes::Bytes;

use super::support::{cid, group, say, send};
use crate::commit::Send;
use crate::ids::Seq;
use crate::store::Store;

/// The places of a page and the head that it names.
async fn places(store: &dyn Store, after: u64, limit: u32, bytes_max: usize) -> (Vec<u64>, u64) {
    let page = store.read_log(cid(1), Seq(after), limit, bytes_max).await.unwrap().unwrap();
    (page.entries.iter().map(|entry| entry.seq.0).collect(), page.head_seq.0)
}

/// Pages start right after the place asked for and keep to their limit.
pub async fn pages_follow_each_other(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    // A neighbour's log must not show.
    group(store, cid(2), &["alice"]).await;
    say(store, cid(1), "alice:d", 5).await;
    say(store, cid(2), "alice:d", 5).await;
    assert_eq!(places(store, 0, 2, usize::MAX).await, (vec![1, 2], 5));
    assert_eq!(places(store, 2, 2, usize::MAX).await, (vec![3, 4], 5));
    assert_eq!(places(store, 4, 2, usize::MAX).await, (vec![5], 5));
    assert_eq!(places(store, 0, 100, usize::MAX).await, (vec![1, 2, 3, 4, 5], 5));
}

/// Bodies of a page keep to `bytes_max`, but one entry always comes, however large.
pub async fn a_page_is_bounded_by_bytes_but_never_empty(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    let sizes = [100, 50, 0, 50, 1, 200, 1];
    let batch: Vec<Send> = sizes
        .iter()
        .enumerate()
        .map(|(i, size)| Send {
            body: Bytes::from(vec![b'x'; *size]),
            ..send(cid(1), "alice:d", &format!("k{i}"))
        })
        .collect();
    store.commit(&batch).await.unwrap();
    assert_eq!(places(store, 0, 9, 200).await, (vec![1, 2, 3, 4], 7));
    assert_eq!(places(store, 0, 9, 199).await, (vec![1, 2, 3], 7));
    assert_eq!(places(store, 0, 2, 200).await, (vec![1, 2], 7));
    assert_eq!(places(store, 0, 9, 0).await, (vec![1], 7));
    assert_eq!(places(store, 4, 9, 100).await, (vec![5], 7));
    assert_eq!(places(store, 5, 9, 100).await, (vec![6], 7));
    assert_eq!(places(store, 6, 9, 0).await, (vec![7], 7));
}

/// At the head and beyond it a page is empty and names the head.
pub async fn nothing_lies_beyond_the_head(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    assert_eq!(places(store, 0, 9, 9).await, (vec![], 0));
    say(store, cid(1), "alice:d", 2).await;
    for after in [2, 3, u64::MAX] {
        assert_eq!(places(store, after, 9, 9).await, (vec![], 2));
    }
}

/// No conversation, no page.
pub async fn an_unknown_log_is_none(store: &dyn Store) {
    assert_eq!(store.read_log(cid(1), Seq::ZERO, 9, 9).await.unwrap(), None);
}
