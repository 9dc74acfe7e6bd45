//! Invitations into groups that wait for an answer.

use crate::limits::{OFFERS_KEPT_MS, OFFERS_MAX};
use crate::membership::Role;
use crate::offer::Offer;
use crate::store::{Prune, Store};

use super::support::{NOW, cid, device, user};

fn offer(name: &str, number: u8, time_ms: u64) -> Offer {
    Offer {
        user: user(name),
        conversation: cid(number),
        by: device("carol:phone"),
        role: Role::ReadOnly,
        time_ms,
    }
}

/// Of each group the latest, of a user so many, for so long; one that was taken is gone.
pub async fn invitations_are_bounded_and_forgotten(store: &dyn Store) {
    store.offer(&[]).await.unwrap();
    assert_eq!(store.offers(&user("alice"), 0).await.unwrap(), []);
    let first = offer("alice", 1, NOW);
    let again = Offer { by: device("dan:phone"), role: Role::Member, ..offer("alice", 1, NOW + 1) };
    // Of two at once the last one counts, also where both are in one batch.
    let earlier = Offer { role: Role::Admin, ..first.clone() };
    store.offer(&[earlier, first, offer("bob", 1, NOW)]).await.unwrap();
    store.offer(&[again.clone(), offer("alice", 2, NOW)]).await.unwrap();
    let all = store.offers(&user("alice"), 0).await.unwrap();
    assert_eq!(all, [again.clone(), offer("alice", 2, NOW)]);
    assert_eq!(store.offers(&user("alice"), NOW).await.unwrap(), [again]);
    store.take_offer(&user("alice"), cid(1)).await.unwrap();
    store.take_offer(&user("alice"), cid(1)).await.unwrap();
    assert_eq!(store.offers(&user("alice"), 0).await.unwrap(), [offer("alice", 2, NOW)]);
    assert_eq!(store.offers(&user("bob"), 0).await.unwrap(), [offer("bob", 1, NOW)]);
    let most = u8::try_from(OFFERS_MAX).unwrap();
    let many: Vec<Offer> = (1..=most + 10).map(|n| offer("alice", n, NOW + u64::from(n))).collect();
    store.offer(&many).await.unwrap();
    let kept = store.offers(&user("alice"), 0).await.unwrap();
    assert!(kept.iter().eq(many.iter().rev().take(usize::from(most))), "the newest");
    let later = |ms| Prune { now_ms: NOW + ms, bodies_before_ms: None, rows_max: 10_000 };
    store.prune(later(OFFERS_KEPT_MS + 50)).await.unwrap();
    let kept = store.offers(&user("alice"), 0).await.unwrap();
    assert!(kept.iter().eq(many.iter().rev().take(usize::from(most) - 40)), "what is newer");
    assert_eq!(store.offers(&user("bob"), 0).await.unwrap(), []);
}
