//! A right history, and for each point wrong ones made of it: the checker sees every one.

use godwit_proto::conversation::v1::{EntryType, Role};

use super::{Attempt, Change, Entry, History, Outcome, Shown};

fn entry(seq: u64, from: &str, kind: EntryType, number: u64) -> Entry {
    Entry {
        seq,
        mid: format!("mid-{seq}"),
        chain: format!("{seq:016x}"),
        kind,
        from: from.to_owned(),
        body: Vec::new(),
        gone: false,
        reply_to: 0,
        target: 0,
        mentions: Vec::new(),
        number,
        change: Change::None,
    }
}

fn body(text: &str, entry: Entry) -> Entry {
    Entry { body: text.as_bytes().to_vec(), ..entry }
}

/// alice and bob; carol comes at 3 and goes at 7; alice's message at 1 is edited and deleted; bob's
/// message at 9 stays. Titles at 10 and 11, written at the same time.
fn log() -> Vec<Entry> {
    use EntryType::{Deletion, Details, Edit, Membership, Message};
    let gone = |entry| Entry { gone: true, ..entry };
    let change = |change, entry| Entry { change, ..entry };
    let title = |text: &str, replaces, concurrent| {
        Change::Details(Some(text.to_owned()), replaces, concurrent)
    };
    let carol = || vec!["carol".to_owned()];
    vec![
        gone(entry(1, "alice:phone", Message, 1)),
        body("b2", entry(2, "bob:phone", Message, 2)),
        change(Change::Added(carol(), Role::Member, 2), entry(3, "alice:phone", Membership, 2)),
        Entry { reply_to: 2, ..body("c4", entry(4, "carol:phone", Message, 3)) },
        Entry { target: 1, ..gone(entry(5, "alice:phone", Edit, 3)) },
        Entry { target: 1, ..entry(6, "alice:phone", Deletion, 3) },
        change(Change::Removed(carol(), 3), entry(7, "alice:phone", Membership, 3)),
        body("b8", entry(8, "bob:phone", Message, 4)),
        Entry {
            mentions: vec!["alice".to_owned()],
            ..body("b9", entry(9, "bob:phone", Message, 5))
        },
        change(title("Rome", vec![], false), entry(10, "alice:phone", Details, 5)),
        change(title("Oslo", vec![10], true), entry(11, "bob:phone", Details, 5)),
    ]
}

fn attempt(log: &[Entry], seq: u64, text: &str) -> Attempt {
    let entry = &log[usize::try_from(seq).unwrap() - 1];
    let key = format!("key-{seq}");
    let outcome = Outcome::Accepted(seq, Some(entry.mid.clone()), false);
    Attempt {
        kind: entry.kind,
        reply_to: entry.reply_to,
        target: entry.target,
        body: text.as_bytes().to_vec(),
        ..Attempt::message(&entry.from, &key, outcome)
    }
}

/// What alice's phone, bob's laptop and carol's phone have seen of [`log`], and all is right.
fn history() -> History {
    let log = log();
    let mut history = History::of(&["alice", "bob"]);
    for (seq, text) in [
        (1, "a1"),
        (2, "b2"),
        (3, ""),
        (4, "c4"),
        (5, "a5"),
        (6, ""),
        (7, ""),
        (8, "b8"),
        (9, "b9"),
    ] {
        let mut attempt = attempt(&log, seq, text);
        attempt.version = (seq == 4).then_some(2);
        history.attempt(attempt);
    }
    for seq in [10, 11] {
        history.attempt(Attempt { based_on: Some(9), ..attempt(&log, seq, "") });
    }
    // A retry, told the same; a refused one; one whose fate nobody knows, and which is not there.
    let again = Outcome::Accepted(9, Some("mid-9".to_owned()), true);
    history
        .attempt(Attempt { key: "key-9".to_owned(), ..Attempt::message("bob:phone", "b9", again) });
    let late = Attempt::message("carol:phone", "late", Outcome::Refused(0x87));
    history.attempt(Attempt { version: Some(2), ..late });
    history.attempt(Attempt::message("bob:phone", "lost", Outcome::Unknown));
    let before = |entry: &Entry, text: &str| Entry { gone: false, ..body(text, entry.clone()) };
    for who in ["alice:phone", "bob:laptop"] {
        history.watches(who, 0);
    }
    for entry in &log {
        // The laptop was there before the deletion; it connected anew at 9 and got 8 once more.
        let live = match entry.seq {
            1 => before(entry, "a1"),
            5 => before(entry, "a5"),
            _ => entry.clone(),
        };
        if entry.seq == 9 {
            history.connected("bob:laptop");
            history.arrived("bob:laptop", log[7].clone());
        }
        history.arrived("bob:laptop", live);
        if entry.from != "alice:phone" {
            history.arrived("alice:phone", entry.clone());
        }
        // Carol was cut before the last one of her stay reached her.
        if matches!(entry.seq, 3 | 5) {
            history.arrived("carol:phone", entry.clone());
        }
    }
    history.read("alice", 8);
    history.read("bob", 2);
    history.told("alice:phone", "bob", 1, 0);
    history.told("alice:phone", "bob", 4, 2);
    let shown = |user: &str, role, unread, mentions, read| Shown {
        user: user.to_owned(),
        head_seq: 11,
        group_version: 3,
        members: 2,
        role,
        title: "Oslo".to_owned(),
        unread,
        mentions,
        delivered: 9,
        read,
    };
    history.shown(shown("alice", Role::Owner, 1, 1, 8));
    history.shown(shown("bob", Role::Member, 0, 0, 9));
    history
}

/// The points that are wrong when `spoil` was done to a right history and its log.
fn points(spoil: impl FnOnce(&mut History, &mut Vec<Entry>)) -> Vec<u8> {
    let (mut history, mut log) = (history(), log());
    spoil(&mut history, &mut log);
    let mut points: Vec<u8> = history.judge(&log).iter().map(|wrong| wrong.point).collect();
    points.sort_unstable();
    points.dedup();
    points
}

fn got<'a>(history: &'a mut History, who: &str) -> &'a mut Vec<Entry> {
    history.devices.get_mut(who).unwrap().connections.last_mut().unwrap()
}

#[test]
fn a_right_history_is_right() {
    let wrong = history().judge(&log());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn point_1_sees_what_is_lost_doubled_or_echoed() {
    // Acknowledged, and not in the log.
    assert!(
        points(|h, _| h.attempt(Attempt::message(
            "bob:phone",
            "gone",
            Outcome::Accepted(99, None, false)
        )))
        .contains(&1)
    );
    // Two keys at one place.
    assert!(
        points(|h, log| h.attempt(Attempt { key: "other".into(), ..attempt(log, 8, "b8") }))
            .contains(&1)
    );
    // Another message's id in its PUBACK.
    assert!(
        points(|h, _| h.attempts[7].outcome = Outcome::Accepted(8, Some("x".into()), false))
            .contains(&1)
    );
    // It never reached an entitled device: the last one, so that it is no gap.
    assert_eq!(points(|h, _| drop(got(h, "alice:phone").pop())), [1]);
    // The sending device got its own.
    let echo = |h: &mut History, log: &mut Vec<Entry>| h.arrived("carol:phone", log[3].clone());
    assert!(points(echo).contains(&1));
}

#[test]
fn point_2_sees_an_unknown_send_twice_and_one_of_nobody() {
    let append = |log: &mut Vec<Entry>, seq, number| {
        log.push(body("lost", entry(seq, "bob:phone", EntryType::Message, number)));
    };
    let quiet = |h: &mut History| {
        h.devices.clear();
        h.shown.clear();
    };
    let once = |h: &mut History, log: &mut Vec<Entry>| {
        quiet(h);
        append(log, 12, 6);
    };
    assert!(points(once).is_empty(), "once is right: its fate was not known");
    let twice = |h: &mut History, log: &mut Vec<Entry>| {
        quiet(h);
        append(log, 12, 6);
        append(log, 13, 7);
    };
    assert_eq!(points(twice), [2]);
    let nobody = |h: &mut History, log: &mut Vec<Entry>| {
        quiet(h);
        log.push(body("who?", entry(12, "bob:phone", EntryType::Message, 6)));
    };
    assert_eq!(points(nobody), [2]);
    // A refused send is not known to be anywhere.
    let refused = |h: &mut History, log: &mut Vec<Entry>| {
        quiet(h);
        h.attempt(Attempt::message("bob:phone", "no", Outcome::Refused(0x83)));
        log.push(body("no", entry(12, "bob:phone", EntryType::Message, 6)));
    };
    assert_eq!(points(refused), [2]);
}

#[test]
fn point_3_sees_a_key_with_two_messages() {
    let again = |seq: u64, mid: &str, duplicate| {
        let outcome = Outcome::Accepted(seq, Some(mid.to_owned()), duplicate);
        let attempt = Attempt::message("bob:phone", "b8", outcome);
        Attempt { key: "key-8".to_owned(), ..attempt }
    };
    assert!(points(|h, _| h.attempt(again(9, "mid-9", true))).contains(&3));
    assert!(points(|h, _| h.attempt(again(8, "mid-7", true))).contains(&3));
    assert_eq!(points(|h, _| h.attempt(again(8, "mid-8", false))), [3], "told as new twice");
}

#[test]
fn point_4_sees_another_entry_at_a_place() {
    assert_eq!(points(|h, _| got(h, "alice:phone")[2].mid = "other".into()), [4]);
    assert_eq!(points(|h, _| got(h, "bob:laptop")[1].chain = "0".into()), [4]);
    let other = Change::Removed(vec!["bob".into()], 3);
    assert_eq!(
        points(|h, _| h.devices.get_mut("bob:laptop").unwrap().connections[0][6].change = other),
        [4]
    );
    assert!(
        points(|h, _| h.arrived("alice:phone", entry(12, "bob:phone", EntryType::Message, 6)))
            .contains(&4)
    );
}

#[test]
fn point_5_sees_gaps_and_steps_back() {
    assert!(points(|_, log| drop(log.remove(7))).contains(&5), "in the log");
    assert!(points(|h, _| drop(got(h, "alice:phone").remove(1))).contains(&5), "at a device");
    // Within a stay that is over: carol got a later one of it.
    let after_the_gap = |h: &mut History, log: &mut Vec<Entry>| {
        *got(h, "carol:phone") = vec![log[2].clone(), log[5].clone()];
    };
    assert_eq!(points(after_the_gap), [5]);
    assert!(points(|h, _| got(h, "alice:phone").swap(0, 1)).contains(&5), "in another order");
    assert!(points(|h, log| h.arrived("alice:phone", log[8].clone())).contains(&5), "once more");
    // A new connection that begins above what the device has.
    let skipped = |h: &mut History, _: &mut Vec<Entry>| {
        h.devices.get_mut("bob:laptop").unwrap().connections[0].truncate(6);
        got(h, "bob:laptop").remove(0);
    };
    assert!(points(skipped).contains(&5));
}

#[test]
fn point_6_sees_an_answer_below_what_it_answers() {
    let answers = |h: &mut History, log: &mut Vec<Entry>| {
        (log[3].reply_to, h.attempts[3].reply_to) = (4, 4);
        for connection in h.devices.values_mut().flat_map(|d| &mut d.connections).flatten() {
            if connection.seq == 4 {
                connection.reply_to = 4;
            }
        }
    };
    assert_eq!(points(answers), [6]);
    let edits = |h: &mut History, log: &mut Vec<Entry>| {
        h.devices.clear();
        (log[4].target, h.attempts[4].target, log[4].gone) = (8, 8, false);
        log[4].body = b"a5".to_vec();
    };
    assert_eq!(points(edits), [6]);
}

#[test]
fn point_7_sees_what_lies_outside_of_a_stay() {
    // Delivered: the removal itself, something after it, something before the join.
    for seq in [7, 8] {
        assert!(points(|h, log| h.arrived("carol:phone", log[seq - 1].clone())).contains(&7));
    }
    assert!(points(|h, log| got(h, "carol:phone").insert(0, log[1].clone())).contains(&7));
    assert!(points(|h, log| h.arrived("eve:phone", log[1].clone())).contains(&7), "a stranger");
    // Accepted: a send of carol's after she has left.
    let late = |h: &mut History, log: &mut Vec<Entry>| {
        h.devices.clear();
        h.shown.clear();
        log[7].from = "carol:phone".to_owned();
        h.attempts[7].who = "carol:phone".to_owned();
    };
    assert_eq!(points(late), [7]);
}

#[test]
fn point_8_sees_a_stale_version() {
    assert_eq!(points(|h, _| h.attempts[7].version = Some(2)), [8], "it was 3 by then");
    assert_eq!(points(|h, _| h.attempts[3].version = Some(1)), [8], "it was 2 by then");
    let not_raised = |h: &mut History, log: &mut Vec<Entry>| {
        h.devices.clear();
        h.shown.clear();
        log[6].change = Change::Removed(vec!["carol".to_owned()], 2);
    };
    assert_eq!(points(not_raised), [8]);
}

#[test]
fn point_9_sees_bodies_that_changed_or_stayed() {
    assert!(points(|_, log| log[7].body = b"other".to_vec()).contains(&9), "in the log");
    assert_eq!(points(|h, _| got(h, "alice:phone")[2].body = b"other".to_vec()), [9]);
    assert_eq!(points(|h, _| got(h, "alice:phone")[2].body.clear()), [9], "lost on its way");
    let first = |h: &mut History| h.devices["bob:laptop"].connections[0][0].clone();
    let forged = |h: &mut History, _: &mut Vec<Entry>| {
        let entry = Entry { body: b"forged".to_vec(), ..first(h) };
        h.devices.get_mut("bob:laptop").unwrap().connections[0][0] = entry;
    };
    assert_eq!(points(forged), [9], "before its deletion it was another");
    for (at, text) in [(0, "a1"), (4, "a5")] {
        let kept = |_: &mut History, log: &mut Vec<Entry>| log[at].body = text.as_bytes().to_vec();
        assert_eq!(points(kept), [9], "deleted, and still there");
        let kept = |h: &mut History, log: &mut Vec<Entry>| {
            h.devices.clear();
            log[at] = Entry { gone: false, ..body(text, log[at].clone()) };
        };
        assert_eq!(points(kept), [9], "not even marked");
    }
    let lost = |h: &mut History, log: &mut Vec<Entry>| {
        h.devices.clear();
        log[1] = Entry { gone: true, body: Vec::new(), ..log[1].clone() };
    };
    assert_eq!(points(lost), [9], "gone, and nobody has deleted it");
    let late = |h: &mut History, log: &mut Vec<Entry>| {
        h.devices.clear();
        log.swap(4, 5);
        (log[4].seq, log[5].seq) = (5, 6);
        h.attempts.swap(4, 5);
        h.attempts[4].outcome = Outcome::Accepted(5, None, false);
        h.attempts[5].outcome = Outcome::Accepted(6, None, false);
    };
    assert_eq!(points(late), [9], "edited after its deletion");
}

#[test]
fn point_10_sees_what_a_recomputation_does_not_give() {
    let spoils: [&dyn Fn(&mut Shown); 9] = [
        &|s| s.unread += 1,
        &|s| s.mentions = 0,
        &|s| s.head_seq -= 1,
        &|s| s.group_version = 2,
        &|s| s.members = 3,
        &|s| s.role = Role::Admin,
        &|s| s.title = "Rome".to_owned(),
        &|s| s.read = 7,
        &|s| s.delivered = 3,
    ];
    for (number, spoil) in spoils.into_iter().enumerate() {
        assert_eq!(points(|h, _| spoil(&mut h.shown[0])), [10], "spoil {number}");
    }
    assert_eq!(points(|h, _| h.shown[1].user = "carol".to_owned()), [10], "not a member any more");
    assert_eq!(points(|h, _| h.shown[1].read = 2), [10], "has read what it wrote");
    assert_eq!(points(|h, _| h.shown[1].unread = 1), [10], "its own is not unread");
    assert_eq!(points(|h, _| h.told("alice:phone", "bob", 4, 1)), [10], "a receipt goes back");
    assert_eq!(points(|h, _| h.told("alice:phone", "bob", 12, 2)), [10], "beyond the head");
    let numbered = |h: &mut History, log: &mut Vec<Entry>| {
        h.devices.clear();
        log[8].number = 6;
    };
    assert_eq!(points(numbered), [10]);
    let details = |replaces, concurrent| {
        move |h: &mut History, log: &mut Vec<Entry>| {
            h.devices.clear();
            log[10].change = Change::Details(Some("Oslo".to_owned()), replaces, concurrent);
        }
    };
    assert_eq!(points(details(vec![10], false)), [10], "the loser is not told");
    assert_eq!(points(details(vec![], true)), [10], "the loser is not named");
}
