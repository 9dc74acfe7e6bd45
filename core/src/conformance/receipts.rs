//! [`Inboxes::report`](crate::inbox::Inboxes::report) and
//! [`Inboxes::receipts`](crate::inbox::Inboxes::receipts).

use super::support::{
    add, behind, changed, cid, conversation, group, item, join_all, keep, reached, remove, report,
    say, to, user,
};
use crate::cursor::Feed;
use crate::ids::{ConversationId, Seq};
use crate::receipt::{Cursors, Moved, Receipt, Refused, Report};
use crate::store::Store;

fn cursors(delivered: u64, read: u64) -> Cursors {
    Cursors { delivered: Seq(delivered), read: Seq(read) }
}

/// Cursors that moved: delivered and read before, and now.
fn moved(number: u8, before: (u64, u64), now: (u64, u64)) -> Moved {
    Moved {
        conversation: cid(number),
        before: cursors(before.0, before.1),
        now: cursors(now.0, now.1),
    }
}

/// Who has got how far, as others are told.
async fn receipts(store: &dyn Store, id: ConversationId) -> Vec<(String, u64, u64)> {
    let receipts = store.receipts(id).await.unwrap();
    receipts
        .into_iter()
        .map(|Receipt { user, cursors: at }| (user.to_string(), at.delivered.0, at.read.0))
        .collect()
}

fn of(name: &str, delivered: u64, read: u64) -> (String, u64, u64) {
    (name.to_owned(), delivered, read)
}

/// Two conversations of alice, bob and carol with six messages each.
async fn ground(store: &dyn Store) {
    for number in 1..=2 {
        group(store, cid(number), &["carol", "bob", "alice"]).await;
        say(store, cid(number), "alice:d", 6).await;
    }
}

/// The cursors move forward, never back; what moved is answered, and nothing else.
pub async fn a_report_moves_cursors_forward_only(store: &dyn Store) {
    ground(store).await;
    let mut before = (0, 0);
    for ((delivered, read), after) in [
        ((3, 0), (3, 0)),
        ((0, 2), (3, 2)),
        ((2, 1), (3, 2)),
        ((0, 0), (3, 2)),
        ((3, 2), (3, 2)),
        ((0, 5), (5, 5)),
        ((6, 4), (6, 5)),
    ] {
        let verdict = report(store, "bob", &[reached(cid(1), delivered, read)]).await;
        let told: Vec<Moved> =
            (before != after).then(|| moved(1, before, after)).into_iter().collect();
        assert_eq!(verdict, Ok(told), "after {delivered}, {read}");
        assert_eq!(receipts(store, cid(1)).await, [of("bob", after.0, after.1)]);
        before = after;
    }
    assert_eq!(item(store, "bob", cid(1)).await.unwrap().cursors, cursors(6, 5));
    assert!(receipts(store, cid(2)).await.is_empty());
    assert!(receipts(store, cid(9)).await.is_empty());
}

/// A place that is not there, or a conversation of others, refuses the whole report.
pub async fn a_report_is_taken_whole_or_not_at_all(store: &dyn Store) {
    ground(store).await;
    group(store, cid(3), &["alice"]).await;
    let good = reached(cid(1), 2, 2);
    let beyond = Refused::BeyondHead { conversation: cid(2), head: Seq(6) };
    for (bad, refused) in [
        (reached(cid(2), 7, 0), beyond),
        (reached(cid(2), 0, u64::MAX), beyond),
        (reached(cid(3), 0, 0), Refused::NoMember(cid(3))),
        (reached(cid(9), 1, 0), Refused::NoMember(cid(9))),
    ] {
        assert_eq!(report(store, "bob", &[good, bad]).await, Err(refused));
        assert_eq!(report(store, "bob", &[bad, good]).await, Err(refused));
    }
    for number in 1..=3 {
        assert!(receipts(store, cid(number)).await.is_empty());
    }
    let empty = report(store, "bob", &[]).await;
    assert_eq!(empty, Ok(vec![]));
}

/// From PUBACKs: what is not right (any more) is left out and the rest is taken.
pub async fn a_lenient_report_leaves_out_what_is_wrong(store: &dyn Store) {
    ground(store).await;
    let places = vec![reached(cid(9), 1, 0), reached(cid(1), 99, 0), reached(cid(2), 4, 0)];
    let reports = [Report { user: user("bob"), places, lenient: true }];
    let verdicts = store.report(&reports).await.unwrap();
    assert_eq!(verdicts, [Ok(vec![moved(2, (0, 0), (4, 0))])]);
    assert!(receipts(store, cid(1)).await.is_empty());
}

/// Reports of one batch are taken in order, each on what the one before left; a refused one between
/// them takes nothing along.
pub async fn reports_of_a_batch_are_taken_in_order(store: &dyn Store) {
    ground(store).await;
    let of_bob =
        |places: &[_]| Report { user: user("bob"), places: places.to_vec(), lenient: false };
    let reports = [
        of_bob(&[reached(cid(1), 2, 0), reached(cid(1), 4, 0), reached(cid(1), 3, 0)]),
        Report { user: user("carol"), ..of_bob(&[reached(cid(1), 0, 6)]) },
        of_bob(&[reached(cid(1), 5, 0), reached(cid(2), 7, 0)]),
        of_bob(&[reached(cid(1), 3, 1), reached(cid(2), 1, 0)]),
        Report { user: user("eve"), ..of_bob(&[reached(cid(1), 1, 0)]) },
    ];
    let verdicts = store.report(&reports).await.unwrap();
    assert_eq!(
        verdicts,
        [
            Ok(vec![moved(1, (0, 0), (4, 0))]),
            Ok(vec![moved(1, (0, 0), (6, 6))]),
            Err(Refused::BeyondHead { conversation: cid(2), head: Seq(6) }),
            Ok(vec![moved(1, (4, 0), (4, 1)), moved(2, (0, 0), (1, 0))]),
            Err(Refused::NoMember(cid(1))),
        ]
    );
    assert_eq!(receipts(store, cid(1)).await, [of("bob", 4, 1), of("carol", 6, 6)]);
    assert_eq!(receipts(store, cid(2)).await, [of("bob", 1, 0)]);
    assert!(store.report(&[]).await.unwrap().is_empty());
}

/// Who leaves has no cursor any more and can report none; who comes back starts anew, and devices'
/// cursors are another thing.
pub async fn cursors_end_with_the_stay(store: &dyn Store) {
    ground(store).await;
    keep(store, &["bob:d"]).await;
    store.move_cursors(&[to("bob:d", Feed::Log, cid(1), 2)]).await.unwrap();
    report(store, "bob", &[reached(cid(1), 5, 4), reached(cid(2), 5, 4)]).await.unwrap();
    report(store, "carol", &[reached(cid(1), 1, 1)]).await.unwrap();
    assert_eq!(behind(store, "bob:d", Feed::Log).await[0], (cid(1), 2, 6));
    changed(store, cid(1), remove(&["bob"])).await;
    assert_eq!(receipts(store, cid(1)).await, [of("carol", 1, 1)]);
    let late = reached(cid(1), 6, 6);
    assert_eq!(report(store, "bob", &[late]).await, Err(Refused::NoMember(cid(1))));
    assert!(item(store, "bob", cid(1)).await.is_none());
    changed(store, cid(1), add(&["bob"])).await;
    assert_eq!(receipts(store, cid(1)).await, [of("carol", 1, 1)]);
    assert_eq!(item(store, "bob", cid(1)).await.unwrap().cursors, Cursors::default());
    assert_eq!(receipts(store, cid(2)).await, [of("bob", 5, 4)]);
    report(store, "bob", &[reached(cid(1), 7, 0)]).await.unwrap();
    assert_eq!(receipts(store, cid(1)).await, [of("bob", 7, 0), of("carol", 1, 1)]);
}

/// Reports name an empty log's end; receipts change neither the log nor the group version.
pub async fn a_receipt_is_no_entry(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    assert_eq!(report(store, "bob", &[reached(cid(1), 0, 0)]).await, Ok(vec![]));
    let beyond = Refused::BeyondHead { conversation: cid(1), head: Seq::ZERO };
    assert_eq!(report(store, "bob", &[reached(cid(1), 1, 0)]).await, Err(beyond));
    say(store, cid(1), "alice:d", 2).await;
    let before = conversation(store, cid(1)).await;
    report(store, "bob", &[reached(cid(1), 2, 2)]).await.unwrap();
    assert_eq!(conversation(store, cid(1)).await, before);
    assert_eq!(store.outbox(9).await.unwrap().len(), 2);
}

/// Two devices of one user and others report at once: all end at the highest, and every step that
/// was told is above the one before.
pub async fn concurrent_reports_end_at_the_highest(store: &dyn Store) {
    ground(store).await;
    let batches: Vec<[Report; 2]> = (1..=6u64)
        .map(|i| {
            let of = |name: &str, delivered, read| Report {
                user: user(name),
                places: vec![reached(cid(1), delivered, read), reached(cid(2), 7 - i, 0)],
                lenient: false,
            };
            // In both orders, so that the locks of two users and two conversations meet.
            let (bob, carol) = (of("bob", i, i - 1), of("carol", 7 - i, 0));
            if i % 2 == 0 { [bob, carol] } else { [carol, bob] }
        })
        .collect();
    let mut told = Vec::new();
    for result in join_all(batches.iter().map(|batch| store.report(batch)).collect()).await {
        for verdict in result.unwrap() {
            told.extend(verdict.unwrap());
        }
    }
    assert_eq!(receipts(store, cid(1)).await, [of("bob", 6, 5), of("carol", 6, 0)]);
    assert_eq!(receipts(store, cid(2)).await, [of("bob", 6, 0), of("carol", 6, 0)]);
    assert!(told.iter().any(|moved| moved.now == cursors(6, 5)));
    for Moved { before, now, .. } in told {
        assert!(before != now && now.read <= now.delivered && now.delivered <= Seq(6));
        assert!(before.delivered <= now.delivered && before.read <= now.read);
    }
}
