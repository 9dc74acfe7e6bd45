use super::*;
use crate::entry::NewEntry;
use crate::ids::DeviceId;
use crate::policy::Policy;
use proptest::prelude::*;

const CID: ConversationId = ConversationId([1; 16]);

fn identity(user: &str) -> Identity {
    Identity { user: UserId::new(user).unwrap(), device: DeviceId::new("d").unwrap() }
}

fn send(user: &str, cmid: &str, id: u8) -> Send {
    Send {
        conversation: CID,
        from: identity(user),
        key: SendKey::Client(ClientMessageId::new(cmid).unwrap()),
        message_id: MessageId([id; 16]),
        act: Act::MESSAGE,
        body: Bytes::from_static(b"hi"),
        group_version: None,
        previous_chain: None,
        expires_ms: None,
        time_ms: 1,
        reads: false,
    }
}

fn loaded() -> Loaded {
    let head = Head {
        seq: Seq(10),
        chain: ChainHash([9; 16]),
        group_version: 3,
        number: 8,
        active: (Seq(9), 1),
        kind: ConversationKind::Group,
        expiry_s: None,
    };
    let standing = |role| Standing { role, visible_seq: Seq(2), blocked: false };
    let member = |name: &str| (CID, UserId::new(name).unwrap());
    Loaded {
        heads: HashMap::from([(CID, head)]),
        members: HashMap::from([
            (member("alice"), standing(Role::Member)),
            (member("ann"), standing(Role::Admin)),
            (member("rita"), standing(Role::ReadOnly)),
        ]),
        targets: HashMap::new(),
        earlier: HashMap::from([(
            (CID, identity("bob"), "old".to_owned()),
            Earlier { message_id: MessageId([77; 16]), seq: Seq(4), fingerprint: None },
        )]),
    }
}

fn reply(to: u64) -> Act {
    Act::Message { reply_to: Some(Seq(to)), mentions: Vec::new() }
}

#[test]
fn each_send_gets_its_fate() {
    let accepted = |id, seq, duplicate| Fate::Accepted {
        message_id: MessageId([id; 16]),
        seq: Seq(seq),
        duplicate,
    };
    let batch = [
        send("alice", "a", 1),
        send("alice", "a", 2),
        send("bob", "new", 3),
        send("bob", "old", 4),
        Send { group_version: Some(2), ..send("alice", "b", 5) },
        Send { group_version: Some(3), ..send("alice", "c", 6) },
        Send { previous_chain: Some([0; 8]), ..send("alice", "d", 7) },
        Send { act: reply(13), ..send("alice", "e", 8) },
        Send { act: reply(12), ..send("alice", "f", 9) },
        Send { conversation: ConversationId([2; 16]), ..send("alice", "g", 10) },
    ];
    let plan = plan(&batch, loaded(), &Policy::default());
    assert_eq!(
        plan.fates,
        [
            accepted(1, 11, false),
            accepted(1, 11, true),
            Fate::Forbidden("not a member of this conversation"),
            accepted(77, 4, true),
            Fate::StaleGroup { group_version: 3 },
            accepted(6, 12, false),
            Fate::StaleGroup { group_version: 3 },
            Fate::Malformed("reply_to is beyond the head of the conversation"),
            accepted(9, 13, false),
            Fate::Forbidden("not a member of this conversation"),
        ]
    );
    assert_eq!(plan.heads.len(), 1);
    assert_eq!(plan.heads[0].1.seq, Seq(13));
    assert_eq!(plan.entries.last().unwrap().0.chain, plan.heads[0].1.chain);
}

proptest! {
    /// However sends repeat, the log is gapless, each key has one place, and the chain holds.
    #[test]
    fn the_log_stays_gapless(keys in proptest::collection::vec((0u8..6, any::<bool>()), 1..60)) {
        let batch: Vec<_> = keys
            .iter()
            .zip(0u8..)
            .map(|((key, member), i)| {
                send(if *member { "alice" } else { "eve" }, &format!("k{key}"), i)
            })
            .collect();
        let plan = plan(&batch, loaded(), &Policy::default());
        let mut chain = ChainHash([9; 16]);
        for (i, (entry, _)) in plan.entries.iter().enumerate() {
            prop_assert_eq!(entry.seq, Seq(11 + i as u64));
            chain = chain.link(&NewEntry {
                seq: entry.seq, kind: entry.kind, message_id: entry.message_id,
                time_ms: entry.time_ms, sender: &entry.sender, device: &entry.device,
                body: &entry.body, target: None,
            });
            prop_assert_eq!(entry.chain, chain);
        }
        let mut seen: HashMap<u8, (MessageId, Seq)> = HashMap::new();
        for ((key, member), fate) in keys.iter().zip(&plan.fates) {
            match fate {
                Fate::Accepted { message_id, seq, duplicate } => {
                    prop_assert!(*member);
                    prop_assert_eq!(*duplicate, seen.contains_key(key));
                    let first = *seen.entry(*key).or_insert((*message_id, *seq));
                    prop_assert_eq!(first, (*message_id, *seq));
                }
                Fate::Forbidden(_) => prop_assert!(!*member),
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert_eq!(seen.len(), plan.entries.len());
    }
}

/// A message of alice at place 5, sent at 1,000 ms.
fn target() -> Target {
    Target {
        kind: EntryKind::Message,
        sender: UserId::new("alice").unwrap(),
        time_ms: 1_000,
        expires_ms: None,
        gone: false,
        repeats: 0,
        emptied: 0,
        named: false,
    }
}

/// One send about place `seq`, where `target` is, by the default policy.
fn about(user: &str, act: Act, time_ms: u64, target: Option<Target>) -> (Fate, Plan) {
    let body = match act {
        Act::Edit { .. } | Act::React { .. } => Bytes::from_static(b"x"),
        _ => Bytes::new(),
    };
    let batch = [Send { act, body, time_ms, ..send(user, "k", 1) }];
    let targets = target.map(|target| (0, target)).into_iter().collect();
    let plan = plan(&batch, Loaded { targets, ..loaded() }, &Policy::default());
    (plan.fates[0], plan)
}

#[test]
fn who_may_do_what_to_a_message_and_for_how_long() {
    const HOUR_MS: u64 = 3_600_000;
    let at = Seq(5);
    let (edit, delete) = (Act::edit(at), Act::Delete { target: at });
    let (react, pin) = (Act::React { target: at }, Act::Pin { target: at });
    let (unpin, message) = (Act::Unpin { target: at }, Act::MESSAGE);
    let gone = || Some(Target { gone: true, ..target() });
    let expired = || Some(Target { expires_ms: Some(500), ..target() });
    let full = |repeats| Some(Target { repeats, ..target() });
    let event = || Some(Target { kind: EntryKind::Membership, ..target() });
    // Who does what, hours after the message; "": accepted.
    let table: Vec<(&str, &Act, u64, Option<Target>, &str)> = vec![
        ("alice", &edit, 24, Some(target()), ""),
        ("alice", &edit, 25, Some(target()), "time for edits"),
        ("ann", &edit, 0, Some(target()), "only its sender"),
        ("alice", &edit, 0, full(100), "at most 100"),
        ("alice", &edit, 0, gone(), "deleted"),
        ("alice", &edit, 0, expired(), "expired"),
        ("alice", &delete, 48, Some(target()), ""),
        ("alice", &delete, 49, Some(target()), "time to delete"),
        ("ann", &delete, 4900, Some(target()), ""),
        ("alice", &delete, 0, gone(), "deleted"),
        ("alice", &react, 900, Some(target()), ""),
        ("alice", &react, 0, full(20), "at most 20"),
        ("alice", &react, 0, event(), "no message"),
        ("alice", &react, 0, None, "no message"),
        ("rita", &react, 0, Some(target()), "read-only"),
        ("rita", &message, 0, None, "read-only"),
        ("alice", &pin, 0, Some(target()), "pin"),
        ("ann", &pin, 0, Some(target()), ""),
        ("ann", &pin, 0, gone(), "deleted"),
        ("ann", &unpin, 0, gone(), ""),
        ("alice", &Act::React { target: Seq(2) }, 0, Some(target()), "no message"),
        ("alice", &Act::React { target: Seq(11) }, 0, Some(target()), "no message"),
    ];
    for (user, act, hours, target, expected) in table {
        let (fate, plan) = about(user, act.clone(), 1_000 + hours * HOUR_MS, target);
        match fate {
            Fate::Accepted { .. } => assert_eq!(expected, "", "{user} {act:?}"),
            Fate::Forbidden(why) | Fate::Malformed(why) => {
                assert!(!expected.is_empty() && why.contains(expected), "{user} {act:?}: {why}");
                assert!(plan.entries.is_empty() && plan.heads.is_empty());
            }
            Fate::StaleGroup { .. } => panic!("{user} {act:?}"),
        }
    }
    let mentions = vec![UserId::new("bob").unwrap(); 51];
    let (fate, _) = about("alice", Act::Message { reply_to: None, mentions }, 0, None);
    assert!(matches!(fate, Fate::Malformed(why) if why.contains("50")));
}

#[test]
fn what_stands_can_be_taken_back_however_often_it_was_changed() {
    let react = Act::React { target: Seq(5) };
    let reacts = |body: &'static [u8], repeats, emptied| {
        let send =
            Send { act: react.clone(), body: Bytes::from_static(body), ..send("ann", "k", 1) };
        let targets = [(0, Target { repeats, emptied, ..target() })].into_iter().collect();
        plan(&[send], Loaded { targets, ..loaded() }, &Policy::default()).fates[0]
    };
    let taken = |fate| matches!(fate, Fate::Accepted { .. });
    // 20 given, and none, some or all of them taken back: no more is given, what stands goes.
    for emptied in [0, 7, 20] {
        let repeats = 20 + emptied;
        assert!(!taken(reacts(b"+", repeats, emptied)), "{emptied}");
        assert!(taken(reacts(b"", repeats, emptied)), "{emptied}");
    }
    assert!(taken(reacts(b"+", 19 + 20, 20)), "one was given before the hour");
    // What was given before those that count; then there is nothing left.
    assert!(taken(reacts(b"", 0, 0)) && !taken(reacts(b"", 1, 1)));
    assert!(!taken(reacts(b"", 41, 21)));
    // In one batch: given and taken back as often as may be.
    let bodies = (0..60).map(|n| if n % 2 == 0 { &b"+"[..] } else { b"" });
    let batch: Vec<Send> = bodies
        .zip(1..)
        .map(|(body, n)| Send {
            act: react.clone(),
            body: Bytes::from_static(body),
            ..send("ann", &format!("k{n}"), n)
        })
        .collect();
    let targets = (0..60).map(|place| (place, target())).collect();
    let fates = plan(&batch, Loaded { targets, ..loaded() }, &Policy::default()).fates;
    assert_eq!(fates.iter().filter(|fate| taken(**fate)).count(), 41);
    assert!(fates[..41].iter().enumerate().all(|(n, fate)| taken(*fate) || n == 40));
}

#[test]
fn a_deletion_erases_and_what_comes_after_it_finds_nothing() {
    let at = Seq(5);
    let body = Bytes::from_static(b"secret");
    let batch = [
        Send { act: Act::edit(at), body: body.clone(), ..send("alice", "a", 1) },
        Send { act: Act::Delete { target: at }, body: Bytes::new(), ..send("alice", "b", 2) },
        Send { act: Act::edit(at), body, ..send("alice", "c", 3) },
    ];
    let targets = (0..3).map(|place| (place, target())).collect();
    let plan = plan(&batch, Loaded { targets, ..loaded() }, &Policy::default());
    assert!(matches!(plan.fates[..2], [Fate::Accepted { .. }, Fate::Accepted { .. }]));
    assert!(matches!(plan.fates[2], Fate::Malformed(_)));
    assert_eq!(plan.erase, [(CID, at)]);
    let edit = &plan.entries[0].0;
    assert!(edit.body.is_empty() && edit.body_gone && edit.target == Some(at));
}

#[test]
fn only_messages_are_numbered_and_bodies_go_when_the_shorter_time_is_over() {
    let mut loaded = loaded();
    loaded.heads.get_mut(&CID).unwrap().expiry_s = Some(60);
    loaded.targets.insert(1, Target { expires_ms: Some(5_000), ..target() });
    let batch = [
        Send { expires_ms: Some(90_000), time_ms: 2_000, ..send("alice", "a", 1) },
        Send { act: Act::React { target: Seq(5) }, time_ms: 2_000, ..send("alice", "b", 2) },
        Send { expires_ms: Some(3_000), time_ms: 2_000, ..send("alice", "c", 3) },
    ];
    let plan = plan(&batch, loaded, &Policy::default());
    let seen: Vec<_> = plan.entries.iter().map(|(e, _)| (e.number, e.expires_ms)).collect();
    assert_eq!(seen, [(9, Some(62_000)), (9, Some(5_000)), (10, Some(3_000))]);
    let head = plan.heads[0].1;
    assert_eq!((head.number, head.active), (10, (Seq(13), 2_000)));
}

#[test]
fn a_blocked_member_may_not_send_directly() {
    let mut loaded = loaded();
    let alice = (CID, UserId::new("alice").unwrap());
    loaded.members.get_mut(&alice).unwrap().blocked = true;
    loaded.heads.get_mut(&CID).unwrap().kind = ConversationKind::Direct;
    let plan = plan(&[send("alice", "a", 1)], loaded, &Policy::default());
    assert_eq!(plan.fates, [Fate::Forbidden("you may not send here")]);
}

#[test]
fn a_key_stands_for_one_request() {
    let mut loaded = loaded();
    let first = Send { body: "x".into(), ..send("alice", "k", 1) };
    let key = (CID, identity("alice"), "k".to_owned());
    let earlier = Earlier {
        message_id: MessageId([5; 16]),
        seq: Seq(6),
        fingerprint: Some(first.fingerprint()),
    };
    loaded.earlier.insert(key, earlier);
    let mention =
        |name| Act::Message { reply_to: None, mentions: vec![UserId::new(name).unwrap()] };
    let batch = [
        // The same again, also with a fresher state named or with less time to live.
        first.clone(),
        Send { group_version: Some(99), time_ms: 77, expires_ms: Some(78), ..first.clone() },
        Send { body: "y".into(), ..first.clone() },
        Send { act: reply(3), ..first.clone() },
        Send { act: mention("ann"), ..first.clone() },
        Send { act: Act::React { target: Seq(3) }, ..first },
        // Within a batch.
        Send { act: mention("ann"), ..send("alice", "l", 2) },
        Send { act: mention("rita"), ..send("alice", "l", 3) },
        Send { act: mention("ann"), ..send("alice", "l", 4) },
    ];
    let plan = plan(&batch, loaded, &Policy::default());
    let told: Vec<_> = plan
        .fates
        .iter()
        .map(|fate| match fate {
            Fate::Accepted { duplicate, .. } => {
                if *duplicate {
                    "again"
                } else {
                    "new"
                }
            }
            Fate::Malformed(why) => why,
            _ => "other",
        })
        .collect();
    let refused = "this cmid was used for another message";
    assert_eq!(
        told,
        ["again", "again", refused, refused, refused, refused, "new", refused, "again"]
    );
}
