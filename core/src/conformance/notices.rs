//! What a user's devices are told beside their conversations, kept for those that are away.

use crate::cursor::{Feed, Scope};
use crate::ids::{DeviceId, Seq};
use crate::limits::{NOTICES_KEPT_MS, NOTICES_MAX, NOTICES_PAGE};
use crate::notice::{Notice, Telling, What};
use crate::store::{Prune, Store};

use super::support::{NOW, device, keep, start, user};

fn block(number: i64) -> Telling {
    Telling {
        user: user("alice"),
        device: Some(DeviceId::new("laptop").unwrap()),
        time_ms: NOW,
        what: What::Block { user: user(&format!("u{number}")), on: true },
    }
}

/// Everything that waits for alice's phone, read in pages.
async fn waiting(store: &dyn Store) -> Vec<Notice> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.notices(&device("alice:phone"), Feed::Own, after, NOTICES_PAGE).await;
        let page = page.unwrap().expect("the phone listens");
        assert!(page.len() <= NOTICES_PAGE as usize);
        let Some(last) = page.last() else { return found };
        after = Some(last.seq);
        found.extend(page);
    }
}

/// Of each subject the latest, of a feed so many, for so long.
pub async fn notices_are_bounded_and_forgotten(store: &dyn Store) {
    // Nobody listens: nothing is kept, and there is no place to read from.
    store.tell(&[block(0)]).await.unwrap();
    assert_eq!(store.notices(&device("alice:phone"), Feed::Own, None, 9).await.unwrap(), None);
    keep(store, &["alice:phone"]).await;
    start(store, "alice:phone", Feed::Own, Scope::All).await;
    assert_eq!(waiting(store).await, []);
    for _ in 0..2 {
        store.tell(&[block(1)]).await.unwrap();
    }
    assert_eq!(waiting(store).await.len(), 1, "the same subject twice is one notice");
    let all: Vec<Telling> = (1..=NOTICES_MAX + 5).map(block).collect();
    for some in all.chunks(200) {
        store.tell(some).await.unwrap();
    }
    let found = waiting(store).await;
    assert_eq!(found.len(), usize::try_from(NOTICES_MAX).unwrap());
    assert!(found.windows(2).all(|pair| pair[0].seq.next() == pair[1].seq));
    assert_eq!(found.last().map(|notice| &notice.what), all.last().map(|telling| &telling.what));
    let later = |ms| Prune { now_ms: NOW + ms, bodies_before_ms: None, rows_max: 10_000 };
    store.prune(later(NOTICES_KEPT_MS - 1)).await.unwrap();
    assert_eq!(waiting(store).await.len(), found.len());
    store.prune(later(NOTICES_KEPT_MS)).await.unwrap();
    // The session has expired as well, or it reads nothing.
    let left = store.notices(&device("alice:phone"), Feed::Own, Some(Seq(1)), 9).await.unwrap();
    assert!(left.is_none_or(|left| left.is_empty()));
}
