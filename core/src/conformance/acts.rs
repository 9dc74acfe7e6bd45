//! [`Store::commit`] of what is about a message: edits, deletions, reactions, pins.

use bytes::Bytes;

use super::support::{
    NOW, about, accepted, add, changed, checked_log, cid, commit, commit_one, conversation, direct,
    group, log_above, place_of, remove, say, send, user,
};
use crate::change::{Ask, DetailsChange};
use crate::commit::{Act, Fate, Send};
use crate::entry::{Entry, EntryKind};
use crate::ids::{ConversationId, Seq};
use crate::limits::{EDITS_MAX, REACTION_BYTES_MAX, REACTIONS_PER_USER_MAX};
use crate::membership::{History, Role};
use crate::policy::Policy;
use crate::store::{Prune, Store};

const HOUR_MS: u64 = 3_600_000;

fn edit(target: u64) -> Act {
    Act::edit(Seq(target))
}

fn delete(target: u64) -> Act {
    Act::Delete { target: Seq(target) }
}

fn react(target: u64) -> Act {
    Act::React { target: Seq(target) }
}

fn pin(target: u64) -> Act {
    Act::Pin { target: Seq(target) }
}

fn unpin(target: u64) -> Act {
    Act::Unpin { target: Seq(target) }
}

/// Why a send was refused for good; nothing may have been stored.
async fn refused(store: &dyn Store, id: ConversationId, send: Send) -> &'static str {
    let before = conversation(store, id).await;
    let fate = commit_one(store, send).await;
    assert_eq!(conversation(store, id).await, before, "a refused send changes nothing");
    match fate {
        Fate::Forbidden(why) | Fate::Malformed(why) => why,
        other => panic!("not refused: {other:?}"),
    }
}

/// A group of an owner, an admin, a member and a read-only one, with a message of bob's at place 4.
async fn ground(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    for (name, role) in [("ann", Role::Admin), ("rita", Role::ReadOnly)] {
        changed(store, cid(1), Ask::Add { users: vec![user(name)], role }).await;
    }
    // The conversation's owner sends first, so that the target is not the first place.
    say(store, cid(1), "alice:d", 1).await;
    assert_eq!(place_of(store, send(cid(1), "bob:d", "first")).await, Seq(4));
}

/// Each kind of send becomes an entry with its target; the message itself stays as it was.
pub async fn what_is_about_a_message_is_an_entry_of_its_own(store: &dyn Store) {
    ground(store).await;
    let batch = [
        about(cid(1), "bob:d", "edited", edit(4)),
        about(cid(1), "ann:d", "heart", react(4)),
        about(cid(1), "alice:d", "p", pin(4)),
        about(cid(1), "alice:d", "u", unpin(4)),
    ];
    let committed = commit(store, &batch).await;
    let log = checked_log(store, cid(1)).await;
    let stored: Vec<&Entry> = committed.entries.iter().map(|(entry, _)| entry).collect();
    assert_eq!(log[4..].iter().collect::<Vec<_>>(), stored);
    let kinds: Vec<_> = log[4..].iter().map(|entry| (entry.kind, entry.target)).collect();
    let at = Some(Seq(4));
    assert_eq!(
        kinds,
        [
            (EntryKind::Edit, at),
            (EntryKind::Reaction, at),
            (EntryKind::Pin, at),
            (EntryKind::Unpin, at)
        ]
    );
    assert_eq!(
        (&log[3].body[..], &log[4].body[..], &log[5].body[..]),
        (&b"body of first"[..], &b"edited"[..], &b"heart"[..])
    );
}

/// The bodies of the message and of every edit of it are gone from the store, and only those; the
/// entries and their chain stay.
pub async fn a_deletion_empties_the_message_and_its_edits(store: &dyn Store) {
    ground(store).await;
    place_of(store, about(cid(1), "bob:d", "second", edit(4))).await;
    place_of(store, about(cid(1), "bob:e", "third", edit(4))).await;
    place_of(store, about(cid(1), "ann:d", "heart", react(4))).await;
    place_of(store, send(cid(1), "bob:d", "another")).await;
    place_of(store, about(cid(1), "bob:d", "another-edit", edit(8))).await;
    // A place of the same number in a neighbour's log stays untouched.
    group(store, cid(2), &["bob"]).await;
    say(store, cid(2), "bob:d", 4).await;
    let before = checked_log(store, cid(1)).await;
    let committed = commit(store, &[about(cid(1), "bob:d", "d", delete(4))]).await;
    assert_eq!(accepted(committed.fates[0]).1, Seq(10));
    let expected: Vec<Entry> = before
        .into_iter()
        .map(|entry| match entry.seq.0 {
            4..=6 => Entry { body: Bytes::new(), body_gone: true, ..entry },
            _ => entry,
        })
        .chain(committed.entries.into_iter().map(|(entry, _)| entry))
        .collect();
    assert_eq!(log_above(store, cid(1), 0).await, expected);
    assert_eq!(expected[9].kind, EntryKind::Deletion);
    assert!(log_above(store, cid(2), 0).await.iter().all(|entry| !entry.body_gone));
    assert_eq!(conversation(store, cid(1)).await.head_chain, expected[9].chain);
}

/// An edit and the deletion of the same message in one batch: the edit's body is not stored either.
pub async fn a_deletion_empties_what_the_same_batch_edited(store: &dyn Store) {
    ground(store).await;
    let batch = [
        about(cid(1), "bob:d", "secret", edit(4)),
        about(cid(1), "bob:d", "d", delete(4)),
        about(cid(1), "bob:d", "late", edit(4)),
        about(cid(1), "ann:d", "again", delete(4)),
    ];
    let committed = commit(store, &batch).await;
    assert_eq!(accepted(committed.fates[1]).1, Seq(6));
    assert!(matches!(committed.fates[2..], [Fate::Malformed(_), Fate::Malformed(_)]));
    let log = log_above(store, cid(1), 3).await;
    let seen: Vec<_> = log.iter().map(|e| (e.kind, e.body_gone, e.body.is_empty())).collect();
    assert_eq!(
        seen,
        [
            (EntryKind::Message, true, true),
            (EntryKind::Edit, true, true),
            (EntryKind::Deletion, false, true)
        ]
    );
    assert!(committed.entries[0].0.body.is_empty(), "nobody is told the body any more");
}

/// After it there is nothing to edit, react to, pin or delete; a pin is taken off. Retries of what
/// was accepted before are still told so.
pub async fn a_deleted_message_takes_nothing_more(store: &dyn Store) {
    ground(store).await;
    let first = about(cid(1), "bob:d", "second", edit(4));
    let place = place_of(store, first.clone()).await;
    place_of(store, about(cid(1), "alice:d", "p", pin(4))).await;
    let deletion = about(cid(1), "bob:d", "d", delete(4));
    let (id, seq, _) = accepted(commit_one(store, deletion.clone()).await);
    for (from, act) in [
        ("bob:d", edit(4)),
        ("bob:d", react(4)),
        ("bob:d", delete(4)),
        ("alice:d", delete(4)),
        ("alice:d", pin(4)),
    ] {
        let why = refused(store, cid(1), about(cid(1), from, "again", act)).await;
        assert!(why.contains("deleted"), "{why}");
    }
    let off = accepted(commit_one(store, about(cid(1), "alice:d", "off", unpin(4))).await);
    assert!(!off.2);
    assert_eq!(accepted(commit_one(store, first).await).1, place);
    assert_eq!(accepted(commit_one(store, deletion).await), (id, seq, true));
}

/// Who may do what: the core's table, looked up in what the store knows of sender and target.
pub async fn who_may_not_is_refused(store: &dyn Store) {
    ground(store).await;
    let before = checked_log(store, cid(1)).await;
    let forbidden: [(&str, Act, &str); 7] = [
        ("ann:d", edit(4), "only its sender"),
        ("alice:d", edit(4), "only its sender"),
        ("bob:d", delete(3), "only its sender"),
        ("bob:d", pin(4), "pin"),
        ("bob:d", unpin(4), "pin"),
        ("rita:d", react(4), "read-only"),
        ("eve:d", react(4), "not a member"),
    ];
    for (from, act, expected) in forbidden {
        let why = refused(store, cid(1), about(cid(1), from, "no", act.clone())).await;
        assert!(why.contains(expected), "{from} {act:?}: {why}");
    }
    let why = refused(store, cid(1), send(cid(1), "rita:d", "no")).await;
    assert!(why.contains("read-only"), "{why}");
    assert_eq!(checked_log(store, cid(1)).await, before);
    for (from, act) in [("ann:d", delete(3)), ("alice:d", delete(4))] {
        assert!(!accepted(commit_one(store, about(cid(1), from, "yes", act)).await).2);
    }
}

/// In a direct conversation both pin, and nobody deletes the other's.
pub async fn in_a_direct_conversation_both_pin_and_delete_their_own(store: &dyn Store) {
    store.create(&direct(cid(1), "alice", "bob")).await.unwrap();
    say(store, cid(1), "alice:d", 1).await;
    place_of(store, about(cid(1), "bob:d", "p", pin(1))).await;
    place_of(store, about(cid(1), "alice:d", "u", unpin(1))).await;
    let why = refused(store, cid(1), about(cid(1), "bob:d", "no", delete(1))).await;
    assert!(why.contains("only its sender"), "{why}");
    place_of(store, about(cid(1), "alice:d", "yes", delete(1))).await;
    say(store, cid(1), "bob:d", 1).await;
    let why = refused(store, cid(1), about(cid(1), "alice:d", "owner", delete(5))).await;
    assert!(why.contains("only its sender"), "{why}");
}

/// The policy that the caller brings decides how long; owners and admins are not bound by it.
pub async fn windows_end_at_the_policys_time(store: &dyn Store) {
    ground(store).await;
    let policy =
        Policy { edit_window_ms: HOUR_MS, delete_window_ms: 2 * HOUR_MS, ..Policy::default() };
    let at = async |from: &str, key: &str, act: Act, time_ms: u64| {
        let send = Send { time_ms, ..about(cid(1), from, key, act) };
        store.commit(&[send], &policy).await.unwrap().fates[0]
    };
    assert!(!accepted(at("bob:d", "a", edit(4), NOW + HOUR_MS).await).2);
    let late = at("bob:d", "b", edit(4), NOW + HOUR_MS + 1).await;
    assert!(matches!(late, Fate::Forbidden(why) if why.contains("time")));
    let late = at("bob:d", "c", delete(4), NOW + 2 * HOUR_MS + 1).await;
    assert!(matches!(late, Fate::Forbidden(why) if why.contains("time")));
    assert!(!accepted(at("bob:d", "d", react(4), NOW + 999 * HOUR_MS).await).2);
    assert!(!accepted(at("ann:d", "e", delete(4), NOW + 999 * HOUR_MS).await).2);
    assert!(!accepted(at("alice:d", "f", delete(3), NOW + 999 * HOUR_MS).await).2);
}

/// What is not a message, not there yet, or not the sender's to see, is no target.
pub async fn only_a_message_that_is_there_and_seen_is_a_target(store: &dyn Store) {
    ground(store).await;
    changed(store, cid(1), add(&["carol"])).await;
    place_of(store, about(cid(1), "bob:d", "heart", react(4))).await;
    let cases = [
        ("bob:d", 0, "the place before the first"),
        ("bob:d", 1, "a change of members"),
        ("bob:d", 6, "a reaction"),
        ("bob:d", 7, "the next place"),
        ("bob:d", 99, "beyond the head"),
        ("carol:d", 4, "before the join"),
    ];
    for (from, target, what) in cases {
        for act in [react(target), edit(target), delete(target)] {
            let why = refused(store, cid(1), about(cid(1), from, "x", act)).await;
            assert!(why.contains("no message"), "{what}: {why}");
        }
    }
    // A target of the same batch was not there when the batch was decided.
    let batch = [send(cid(1), "bob:d", "new"), about(cid(1), "bob:d", "early", edit(7))];
    let fates = commit(store, &batch).await.fates;
    assert_eq!(accepted(fates[0]).1, Seq(7));
    assert!(matches!(fates[1], Fate::Malformed(_)), "{:?}", fates[1]);
    place_of(store, about(cid(1), "carol:d", "seen", react(7))).await;
    // Nobody sees into another conversation by naming a place of it.
    group(store, cid(2), &["bob"]).await;
    assert!(
        refused(store, cid(2), about(cid(2), "bob:d", "x", edit(4))).await.contains("no message")
    );
}

/// What one has said oneself may be taken back after leaving and coming back, though it is not seen any
/// more; nothing else may be done about it.
pub async fn ones_own_of_an_earlier_stay_may_be_deleted(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    say(store, cid(1), "bob:d", 2).await;
    say(store, cid(1), "alice:d", 1).await;
    changed(store, cid(1), remove(&["bob"])).await;
    let fate = commit_one(store, about(cid(1), "bob:d", "out", delete(1))).await;
    assert!(matches!(fate, Fate::Forbidden(_)), "{fate:?}");
    changed(store, cid(1), add(&["bob"])).await;
    for (key, act) in [("e", edit(1)), ("r", react(1)), ("d", delete(3))] {
        let fate = commit_one(store, about(cid(1), "bob:d", key, act)).await;
        assert!(matches!(fate, Fate::Malformed(_)), "{fate:?}");
    }
    place_of(store, about(cid(1), "bob:d", "back", delete(1))).await;
    assert!(log_above(store, cid(1), 0).await[0].body_gone);
}

/// With the whole history open, a newcomer may react to what was before.
pub async fn an_open_history_is_a_target_too(store: &dyn Store) {
    ground(store).await;
    let set = DetailsChange { history: Some(History::All), ..DetailsChange::default() };
    changed(store, cid(1), Ask::Details { set, based_on: None }).await;
    changed(store, cid(1), add(&["carol"])).await;
    place_of(store, about(cid(1), "carol:d", "heart", react(4))).await;
    changed(store, cid(1), remove(&["carol"])).await;
    let why = refused(store, cid(1), about(cid(1), "carol:d", "late", react(4))).await;
    assert!(why.contains("not a member"), "{why}");
}

/// At most so many edits of a message and reactions of a user to it, counted over batches and
/// within one.
pub async fn edits_and_reactions_are_counted(store: &dyn Store) {
    ground(store).await;
    let many = |from: &str, act: &Act, count: u32| -> Vec<Send> {
        (0..count)
            .map(|i| about(cid(1), from, &format!("{}-{i}", act.kind().code()), act.clone()))
            .collect()
    };
    for (from, act, max) in
        [("bob:d", edit(4), EDITS_MAX), ("ann:d", react(4), REACTIONS_PER_USER_MAX)]
    {
        // The last of a batch is one too many, after an earlier batch.
        let sends = many(from, &act, max + 1);
        let (first, second) = sends.split_at(7);
        let mut fates = commit(store, first).await.fates;
        fates.extend(commit(store, second).await.fates);
        let (last, good) = fates.split_last().unwrap();
        for fate in good {
            assert!(!accepted(*fate).2);
        }
        assert!(matches!(last, Fate::Malformed(why) if why.contains("at most")), "{last:?}");
        let again = refused(store, cid(1), about(cid(1), from, "more", act)).await;
        assert!(again.contains("at most"), "{again}");
    }
    // Another user, another device of the same user, another message.
    place_of(store, about(cid(1), "bob:d", "heart", react(4))).await;
    place_of(store, about(cid(1), "ann:d", "other", react(3))).await;
    assert!(
        refused(store, cid(1), about(cid(1), "ann:e", "x", react(4))).await.contains("at most")
    );
}

/// After as many reactions as an hour allows, the last one can still be taken back, once; an hour later
/// there may be new ones.
pub async fn a_reaction_can_always_be_taken_back(store: &dyn Store) {
    ground(store).await;
    let at = |key: &str, body: &str, time_ms| Send {
        body: Bytes::from(body.to_owned()),
        time_ms,
        ..about(cid(1), "ann:d", key, react(4))
    };
    for n in 0..REACTIONS_PER_USER_MAX {
        place_of(store, at(&format!("given-{n}"), "+", NOW + u64::from(n))).await;
        if n % 3 == 0 {
            place_of(store, at(&format!("back-{n}"), "", NOW + u64::from(n))).await;
        }
    }
    assert!(refused(store, cid(1), at("more", "+", NOW + 50)).await.contains("an hour"));
    place_of(store, at("back", "", NOW + 50)).await;
    let later = NOW + HOUR_MS + 100;
    place_of(store, at("later", "+", later)).await;
    place_of(store, at("later-back", "", later)).await;
    // One that could stand from before the hour, and then there is nothing left.
    place_of(store, at("older-back", "", later)).await;
    assert!(refused(store, cid(1), at("no-more", "", later)).await.contains("no reaction"));
}

/// The longest reaction is taken, a longer one is not, and an empty one takes it back.
pub async fn a_reaction_is_short(store: &dyn Store) {
    ground(store).await;
    let of = |key: &str, len: usize| Send {
        body: Bytes::from(vec![b'x'; len]),
        ..about(cid(1), "ann:d", key, react(4))
    };
    place_of(store, of("longest", REACTION_BYTES_MAX)).await;
    assert!(refused(store, cid(1), of("longer", REACTION_BYTES_MAX + 1)).await.contains("64"));
    place_of(store, of("back", 0)).await;
    let log = checked_log(store, cid(1)).await;
    assert_eq!((log[4].body.len(), log[5].body.len()), (REACTION_BYTES_MAX, 0));
}

/// A message that disappears takes its edits and reactions along, and cannot be edited after it.
pub async fn what_is_about_a_message_goes_with_it(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    let set = DetailsChange { expiry_s: Some(60), ..DetailsChange::default() };
    changed(store, cid(1), Ask::Details { set, based_on: None }).await;
    place_of(store, send(cid(1), "alice:d", "by-setting")).await;
    place_of(store, Send { expires_ms: Some(NOW + 5), ..send(cid(1), "alice:d", "sooner") }).await;
    place_of(store, Send { expires_ms: Some(NOW + 90_000), ..send(cid(1), "alice:d", "later") })
        .await;
    let about_it = about(cid(1), "alice:d", "edited", edit(2));
    place_of(store, Send { time_ms: NOW + 9, ..about_it }).await;
    let ends: Vec<_> =
        checked_log(store, cid(1)).await.iter().map(|entry| entry.expires_ms).collect();
    let setting = Some(NOW + 60_000);
    assert_eq!(ends, [None, setting, Some(NOW + 5), setting, setting]);
    let late = Send { time_ms: NOW + 5, ..about(cid(1), "alice:d", "x", edit(3)) };
    assert!(refused(store, cid(1), late).await.contains("expired"));
    let prune = Prune { now_ms: NOW + 60_000, bodies_before_ms: None, rows_max: 100 };
    assert_eq!(store.prune(prune).await.unwrap().bodies, 4);
    let gone: Vec<bool> = log_above(store, cid(1), 0).await.iter().map(|e| e.body_gone).collect();
    assert_eq!(gone, [false, true, true, true, true]);
    assert!(
        refused(store, cid(1), about(cid(1), "alice:d", "y", pin(2))).await.contains("deleted")
    );
}

/// Deletions, edits and reactions of one message at once: whatever order they took, no body is left
/// behind a deletion, and none was accepted after it.
pub async fn concurrent_edits_and_a_deletion_leave_no_body(store: &dyn Store) {
    ground(store).await;
    let policy = Policy::default();
    let mut batches: Vec<[Send; 1]> = (0..6)
        .flat_map(|i| {
            let edits = about(cid(1), "bob:d", &format!("secret-{i}"), edit(4));
            let reacts = about(cid(1), "alice:d", &format!("r-{i}"), react(4));
            [[edits], [reacts]]
        })
        .collect();
    batches.insert(5, [about(cid(1), "ann:d", "d", delete(4))]);
    let tasks = batches.iter().map(|batch| store.commit(batch, &policy)).collect();
    for result in super::support::join_all(tasks).await {
        let fate = result.unwrap().fates[0];
        assert!(matches!(fate, Fate::Accepted { .. } | Fate::Malformed(_)), "{fate:?}");
    }
    let log = log_above(store, cid(1), 3).await;
    let deletion = log.iter().find(|entry| entry.kind == EntryKind::Deletion).unwrap();
    assert!(log.iter().all(|entry| entry.seq <= deletion.seq), "nothing after the deletion");
    for entry in &log {
        let bodied = matches!(entry.kind, EntryKind::Message | EntryKind::Edit);
        assert_eq!(entry.body_gone, bodied, "{entry:?}");
        assert!(!bodied || entry.body.is_empty());
    }
}
