use super::*;
use proptest::prelude::*;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

fn device(user: &str, device: &str) -> Identity {
    Identity { user: UserId::new(user).unwrap(), device: DeviceId::new(device).unwrap() }
}

fn change(presence: Presence) -> Option<Change> {
    Some(Change { user: UserId::new("alice").unwrap(), presence })
}

fn offline(ms: u64) -> Option<Change> {
    change(Presence::Offline { last_seen_ms: Some(ms) })
}

#[test]
fn the_best_device_counts_and_a_short_break_is_hidden() {
    let (mut board, start) = (Board::new(8), Instant::now());
    let (phone, laptop) = (device("alice", "phone"), device("alice", "laptop"));
    assert_eq!(board.connected(&phone, Epoch(1)), change(Presence::Online));
    assert_eq!(board.connected(&laptop, Epoch(2)), None);
    assert_eq!(board.declared(&phone, Epoch(1), Declared::Background), None);
    assert_eq!(board.declared(&laptop, Epoch(2), Declared::Away), change(Presence::Away));
    assert_eq!(board.presence_of(&phone.user), Some(Presence::Away));
    assert_eq!(board.declared(&phone, Epoch(1), Declared::Foreground), change(Presence::Online));
    // The phone goes into a tunnel and comes back.
    let leave = Leave { due: start + 15 * S, time_ms: 1000 };
    assert_eq!(board.closed(&phone, Epoch(1), leave), None);
    assert_eq!(board.next_deadline(), Some(start + 15 * S));
    assert_eq!(board.poll(start + 14 * S), None);
    assert_eq!(board.connected(&phone, Epoch(3)), None);
    assert_eq!(board.next_deadline(), None);
    // It goes for good: what is left is the laptop.
    let leave = Leave { due: start + 40 * S, time_ms: 2000 };
    assert_eq!(board.closed(&phone, Epoch(3), leave), None);
    assert_eq!(board.poll(start + 40 * S), change(Presence::Away));
    let leave = Leave { due: start + 50 * S, time_ms: 1500 };
    assert_eq!(board.closed(&laptop, Epoch(2), leave), None);
    assert_eq!(board.poll(start + 50 * S), offline(2000));
    assert_eq!(board.presence_of(&phone.user), None);
    assert!(board.people.is_empty());
}

#[test]
fn an_earlier_connection_says_nothing_of_a_later_one() {
    let (mut board, start) = (Board::new(8), Instant::now());
    let phone = device("alice", "phone");
    let leave = Leave { due: start + S, time_ms: 5 };
    assert_eq!(board.connected(&phone, Epoch(7)), change(Presence::Online));
    assert_eq!(board.closed(&phone, Epoch(6), leave), None);
    assert_eq!(board.declared(&phone, Epoch(6), Declared::Background), None);
    assert_eq!(board.connected(&phone, Epoch(6)), None);
    assert_eq!(board.declared(&phone, Epoch(7), Declared::Away), change(Presence::Away));
    assert_eq!(board.next_deadline(), None);
    // Nor does a connection that has ended say anything more.
    assert_eq!(board.closed(&phone, Epoch(7), leave), None);
    assert_eq!(board.declared(&phone, Epoch(7), Declared::Foreground), None);
    let again = Leave { due: start + 60 * S, time_ms: 9 };
    assert_eq!(board.closed(&phone, Epoch(7), again), None);
    assert_eq!(board.poll(start + S), offline(5));
}

#[test]
fn more_than_fit_leave_at_once() {
    let (mut board, start) = (Board::new(1), Instant::now());
    let leave = Leave { due: start + S, time_ms: 5 };
    let (phone, laptop) = (device("alice", "phone"), device("alice", "laptop"));
    board.connected(&phone, Epoch(1));
    board.connected(&laptop, Epoch(2));
    assert_eq!(board.declared(&laptop, Epoch(2), Declared::Away), None);
    assert_eq!(board.closed(&laptop, Epoch(2), leave), None);
    assert_eq!(board.closed(&phone, Epoch(1), leave), change(Presence::Away));
    assert_eq!(board.poll(start + S), offline(5));
}

/// What may happen to a device; epochs are counted back from the newest one.
#[derive(Debug, Clone, Copy)]
enum Step {
    Connect,
    /// A connection that was overtaken on its way here.
    LateConnect(u64),
    Close(u64),
    /// Said on a connection, or by its will.
    Declare(u64, Declared),
}

fn step() -> impl Strategy<Value = (u32, usize, Step)> {
    let declared =
        prop_oneof![Just(Declared::Foreground), Just(Declared::Away), Just(Declared::Background)];
    let back = prop_oneof![3 => Just(0u64), 2 => 1u64..4];
    let what = prop_oneof![
        3 => Just(Step::Connect),
        1 => (1u64..4).prop_map(Step::LateConnect),
        3 => back.clone().prop_map(Step::Close),
        3 => (back, declared).prop_map(|(back, declared)| Step::Declare(back, declared)),
    ];
    (0u32..8, 0usize..3, what)
}

/// What is true of a device: its newest connection, by a plain record of what happened.
#[derive(Debug, Clone, Copy, Default)]
struct Truth {
    newest: u64,
    declared: Declared,
    /// `Some(None)`: connected; `Some(Some(at))`: counts until then.
    counts: Option<Option<Instant>>,
}

proptest! {
    /// Three devices of a user, any interleaving of connects, ends and wills, old ones among them:
    /// others are told exactly what follows from the newest connections, once each.
    #[test]
    fn any_interleaving(steps in proptest::collection::vec(step(), 1..100)) {
        let (mut board, mut now) = (Board::new(100), Instant::now());
        let devices = ["phone", "laptop", "watch"].map(|name| device("alice", name));
        let mut truth = [Truth::default(); 3];
        let mut told = Presence::Offline { last_seen_ms: None };
        let mut seen_ms = 0;
        let last = (60, 0, Step::Close(9));
        for (time_ms, (gap_s, which, step)) in (1u64..).zip(steps.into_iter().chain([last])) {
            now += gap_s * S;
            let (id, it) = (&devices[which], &mut truth[which]);
            let mut changes = Vec::new();
            while let Some(change) = board.poll(now) {
                changes.push(change);
            }
            let epoch = |back: u64| Epoch(it.newest.saturating_sub(back));
            changes.extend(match step {
                Step::Connect => {
                    *it = Truth { newest: it.newest + 1, counts: Some(None), ..Truth::default() };
                    board.connected(id, Epoch(it.newest))
                }
                // Of a device that is forgotten, nothing is known to be newer.
                Step::LateConnect(_) if it.counts.flatten().is_none_or(|at| at <= now)
                    && it.counts != Some(None) => None,
                Step::LateConnect(back) if it.newest > back => {
                    let change = board.connected(id, epoch(back));
                    prop_assert_eq!(&change, &None);
                    change
                }
                Step::LateConnect(_) => None,
                Step::Close(back) => {
                    let due = now + u32::try_from(10 + time_ms % 10).unwrap() * S;
                    if back == 0 && it.counts == Some(None) {
                        it.counts = Some(Some(due));
                        seen_ms = time_ms;
                    }
                    board.closed(id, epoch(back), Leave { due, time_ms })
                }
                Step::Declare(back, declared) => {
                    if back == 0 && it.counts == Some(None) {
                        it.declared = declared;
                    }
                    board.declared(id, epoch(back), declared)
                }
            });
            for change in changes {
                prop_assert_ne!(change.presence, told, "told twice");
                told = change.presence;
            }
            for it in &mut truth {
                it.counts = it.counts.filter(|at| at.is_none_or(|at| at > now));
            }
            let there: Vec<_> = truth.iter().filter(|it| it.counts.is_some()).collect();
            let online = there.iter().any(|it| it.declared == Declared::Foreground);
            match told {
                Presence::Offline { last_seen_ms } => {
                    prop_assert!(there.is_empty());
                    prop_assert!(last_seen_ms.is_none_or(|at| at == seen_ms));
                }
                presence => {
                    prop_assert!(!there.is_empty());
                    prop_assert_eq!(presence, shown(online));
                    prop_assert_eq!(board.presence_of(&devices[0].user), Some(presence));
                }
            }
        }
    }
}
