//! [`Store::read_log`].

use bytes::Bytes;

use super::support::{cid, commit, group, say, send};
use crate::commit::Send;
use crate::ids::Seq;
use crate::store::{Range, Store};

/// The places of a page and the head that it names.
async fn places(store: &dyn Store, after: u64, limit: u32, bytes_max: usize) -> (Vec<u64>, u64) {
    let range = Range::above(Seq(after));
    let page = store.read_log(cid(1), range, limit, bytes_max).await.unwrap().unwrap();
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
    commit(store, &batch).await;
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
    assert_eq!(store.read_log(cid(1), Range::above(Seq::ZERO), 9, 9).await.unwrap(), None);
}

/// A range from both sides, read from either end.
async fn range(
    store: &dyn Store,
    (after, before): (u64, Option<u64>),
    newest_first: bool,
    limit: u32,
    bytes_max: usize,
) -> Vec<u64> {
    let range = Range { after: Seq(after), before: before.map(Seq), newest_first };
    let page = store.read_log(cid(1), range, limit, bytes_max).await.unwrap().unwrap();
    assert_eq!(page.head_seq, Seq(7), "the head, whatever the range");
    page.entries.iter().map(|entry| entry.seq.0).collect()
}

/// Above `after` and below `before`, oldest first or newest first, also where nothing lies between.
pub async fn a_range_is_read_from_either_end(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    group(store, cid(2), &["alice"]).await;
    say(store, cid(2), "alice:d", 9).await;
    say(store, cid(1), "alice:d", 7).await;
    let all = usize::MAX;
    assert_eq!(range(store, (2, Some(6)), false, 9, all).await, [3, 4, 5]);
    assert_eq!(range(store, (2, Some(6)), true, 9, all).await, [5, 4, 3]);
    assert_eq!(range(store, (2, Some(6)), false, 2, all).await, [3, 4]);
    assert_eq!(range(store, (2, Some(6)), true, 2, all).await, [5, 4]);
    assert_eq!(range(store, (0, None), true, 3, all).await, [7, 6, 5]);
    assert_eq!(range(store, (0, None), true, 100, all).await, [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(range(store, (5, Some(99)), false, 9, all).await, [6, 7]);
    assert_eq!(range(store, (5, Some(99)), true, 9, all).await, [7, 6]);
    assert_eq!(range(store, (5, Some(u64::MAX)), true, 1, all).await, [7]);
    for empty in [(3, Some(4)), (4, Some(4)), (6, Some(2)), (0, Some(1)), (0, Some(0))] {
        for newest_first in [false, true] {
            assert!(range(store, empty, newest_first, 9, all).await.is_empty(), "{empty:?}");
        }
    }
    assert!(range(store, (7, None), true, 9, all).await.is_empty());
}

/// A page's bytes count from the end at which it begins; one entry always comes.
pub async fn bytes_count_from_the_pages_begin(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    let batch: Vec<Send> = [100, 50, 0, 50, 1, 200, 1]
        .iter()
        .enumerate()
        .map(|(i, size)| Send {
            body: Bytes::from(vec![b'x'; *size]),
            ..send(cid(1), "alice:d", &format!("k{i}"))
        })
        .collect();
    commit(store, &batch).await;
    assert_eq!(range(store, (0, None), true, 9, 201).await, [7, 6]);
    assert_eq!(range(store, (0, None), true, 9, 200).await, [7]);
    assert_eq!(range(store, (0, None), true, 9, 0).await, [7]);
    assert_eq!(range(store, (0, Some(7)), true, 9, 199).await, [6]);
    assert_eq!(range(store, (0, Some(6)), true, 9, 101).await, [5, 4, 3, 2]);
    assert_eq!(range(store, (0, Some(6)), true, 9, 100).await, [5, 4, 3]);
    assert_eq!(range(store, (1, Some(6)), false, 9, 101).await, [2, 3, 4, 5]);
    assert_eq!(range(store, (1, Some(6)), false, 9, 100).await, [2, 3, 4]);
}

/// A log that is read backwards page by page, while it grows, is whole and has nothing twice.
pub async fn pages_backwards_do_not_shift_when_the_log_grows(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    say(store, cid(1), "alice:d", 7).await;
    let mut seen: Vec<u64> = Vec::new();
    loop {
        let range =
            Range { after: Seq(1), before: seen.last().map(|s| Seq(*s)), newest_first: true };
        let page = store.read_log(cid(1), range, 2, usize::MAX).await.unwrap().unwrap();
        if page.entries.is_empty() {
            break;
        }
        seen.extend(page.entries.iter().map(|entry| entry.seq.0));
        say(store, cid(1), "alice:d", 1).await;
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2]);
}
