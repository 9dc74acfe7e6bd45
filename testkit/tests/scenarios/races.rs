//! Races, each run many times over real sockets and judged by the history checker (THREATS.md).

use std::cell::Cell;
use std::time::Duration;

use godwit_proto::conversation::v1::{Details, EntryType, Role, Send};
use godwit_proto::group::v1::group_request::Ask;
use godwit_testkit::chat::{about, add, details, message, remove, roles};
use godwit_testkit::history::{Change, History};
use godwit_testkit::server::Options;

use super::side::Side;

mod recorded;

use recorded::{Race, Recorded};

in_both_versions!(with unbounded:
    removing_while_sending,
    adding_while_sending,
    editing_while_deleting,
    two_devices_reading,
    two_admins,
);

/// Rounds of each race, in each version; `GODWIT_RACE_ROUNDS` asks for more.
fn rounds() -> u32 {
    const ROUNDS: u32 = 20;
    let asked = std::env::var("GODWIT_RACE_ROUNDS").ok();
    asked.map_or(ROUNDS, |rounds| rounds.parse().expect("GODWIT_RACE_ROUNDS is a number"))
}

/// Nobody is slowed down, and receipts are told at once.
fn unbounded() -> Options {
    Options::default()
        .with("GODWIT__POLICY__STRANGERS_PER_DAY", "0")
        .with("GODWIT__LIMITS__PUBLISHES_PER_S", "0")
        .with("GODWIT__LIMITS__USER_SENDS_PER_S", "0")
        .with("GODWIT__LIMITS__CONVERSATION_SENDS_PER_S", "0")
        .with("GODWIT__RECEIPTS__DELAY", "20ms")
}

in_both_versions!(with narrow: coming_and_going_while_lagging);

/// As [`unbounded`], and who does not keep up is soon left to read the log.
fn narrow() -> Options {
    unbounded()
        .with("GODWIT__LIMITS__INFLIGHT_DEFAULT", "8")
        .with("GODWIT__LIMITS__QUEUE_DELIVERIES_MAX", "16")
}

/// Messages with bodies of their own; every `nth` names this version (0: none does).
fn messages(name: &str, count: u32, nth: u32, version: u64) -> Vec<Send> {
    let one = |n: u32| Send {
        group_version: (nth > 0 && n.is_multiple_of(nth)).then_some(version),
        ..message(&format!("{name}-{n}"))
    };
    (0..count).map(one).collect()
}

/// Carol sends while she is removed: what was accepted is of before, nothing reaches her after.
async fn removing_while_sending(side: Side<'_>) {
    let mut race = Race::new(side);
    let mut alice = Recorded::new(side, "alice", "phone").await;
    let mut bob = Recorded::new(side, "bob", "phone").await;
    let mut carol = Recorded::new(side, "carol", "phone").await;
    let mut laptop = Recorded::new(side, "carol", "laptop").await;
    let (mut cut, carols) = (0, side.id("carol"));
    for round in 0..rounds() {
        let cid = side.group(&["alice", "bob", "carol"]).await;
        let history = History::of(&[&side.id("alice"), &side.id("bob"), &carols]);
        let removal = async {
            // At another moment in each round.
            let first = messages("alice", round % 8, 0, 0);
            alice.burst(&cid, first).await;
            let reply = alice.change(&cid, remove(&[&carols]), None).await;
            assert_eq!(reply.code, 0, "{reply:?}");
        };
        let (_, _, (accepted, refused)) = tokio::join!(
            removal,
            bob.burst(&cid, messages("bob", 12, 0, 0)),
            carol.burst(&cid, messages("carol", 24, 2, 1)),
        );
        cut += u32::from(accepted > 0 && refused > 0);
        for device in [&mut carol, &mut laptop] {
            let told = device.chat.control().await;
            assert_eq!(told.conversation_id, godwit_testkit::chat::cid_bytes(&cid));
        }
        let devices = &mut [&mut alice, &mut bob, &mut carol, &mut laptop];
        race.judge(&cid, history, devices).await;
    }
    assert!(cut > 0, "the removal never fell into the sends");
    race.over(&mut [&mut alice, &mut bob, &mut carol, &mut laptop]).await;
}

/// Carol comes while bob sends and names the version: she gets what is after her join, all of it,
/// and no send of bob's is accepted with the version of before.
async fn adding_while_sending(side: Side<'_>) {
    let mut race = Race::new(side);
    let mut alice = Recorded::new(side, "alice", "phone").await;
    let mut bob = Recorded::new(side, "bob", "phone").await;
    let mut carol = Recorded::new(side, "carol", "phone").await;
    let mut laptop = Recorded::new(side, "carol", "laptop").await;
    let (mut stale, carols) = (0, side.id("carol"));
    for round in 0..rounds() {
        let cid = side.group(&["alice", "bob"]).await;
        let history = History::of(&[&side.id("alice"), &side.id("bob")]);
        let join = async {
            alice.burst(&cid, messages("alice", round % 8, 0, 0)).await;
            // In every third round she is sent away and comes again.
            let again = [add(&[&carols], Role::Member), remove(&[&carols])];
            let asks = again.iter().cycle().take(if round % 3 == 2 { 3 } else { 1 });
            for ask in asks {
                let reply = alice.change(&cid, ask.clone(), None).await;
                assert_eq!(reply.code, 0, "{reply:?}");
            }
        };
        let speak = async {
            // The join is the first thing that she hears of it.
            let join = carol.entry(&cid).await;
            let Change::Added(_, _, version) = join.change else { panic!("{join:?}") };
            carol.burst(&cid, messages("carol", 6, 1, version)).await;
        };
        let (_, _, (accepted, refused)) =
            tokio::join!(join, speak, bob.burst(&cid, messages("bob", 24, 1, 1)));
        stale += u32::from(accepted > 0 && refused > 0);
        let devices = &mut [&mut alice, &mut bob, &mut carol, &mut laptop];
        race.judge(&cid, history, devices).await;
    }
    assert!(stale > 0, "the join never fell into the sends");
    race.over(&mut [&mut alice, &mut bob, &mut carol, &mut laptop]).await;
}

/// Bob edits from two devices while alice, and in some rounds he himself, deletes: whatever came
/// first, no body is left, and nothing was accepted about the message after its deletion.
async fn editing_while_deleting(side: Side<'_>) {
    let mut race = Race::new(side);
    let mut alice = Recorded::new(side, "alice", "phone").await;
    let mut bob = Recorded::new(side, "bob", "phone").await;
    let mut laptop = Recorded::new(side, "bob", "laptop").await;
    let mut cut = 0;
    for round in 0..rounds() {
        let cid = side.group(&["alice", "bob"]).await;
        let history = History::of(&[&side.id("alice"), &side.id("bob")]);
        let secret = format!("secret-{}-{round}", side.id("s"));
        let target = bob.send(&cid, message(&secret)).await.expect("a member may speak");
        bob.send(&cid, message(&format!("kept-{}", side.id("s")))).await.expect("another");
        let edits = |name: &str, count: u32| -> Vec<Send> {
            let body = |n| format!("{secret} {name}-{n}");
            (0..count).map(|n| about(EntryType::Edit, target, &body(n))).collect()
        };
        let deletion = async {
            let reactions = (0..round % 6)
                .map(|n| about(EntryType::Reaction, target, &format!("r{n}")))
                .collect();
            alice.burst(&cid, reactions).await;
            alice.send(&cid, about(EntryType::Deletion, target, "")).await
        };
        let other = async {
            laptop.burst(&cid, edits("laptop", 4 + round % 3)).await;
            match round % 2 {
                0 => laptop.send(&cid, about(EntryType::Deletion, target, "")).await,
                _ => Err((0, 0)),
            }
        };
        let (one, two, (accepted, refused)) =
            tokio::join!(deletion, other, bob.burst(&cid, edits("phone", 16)));
        assert_eq!(u8::from(one.is_ok()) + u8::from(two.is_ok()), 1, "one deletion is enough");
        cut += u32::from(accepted > 0 && refused > 0);
        race.judge(&cid, history, &mut [&mut alice, &mut bob, &mut laptop]).await;
    }
    let store = side.world.server.store();
    assert_eq!(store.bodies(&format!("secret-{}-", side.id("s"))), 0, "bodies of what was deleted");
    assert_eq!(store.bodies(&format!("kept-{}", side.id("s"))), u64::from(rounds()), "the others");
    assert!(cut > 0, "the deletion never fell into the edits");
    race.over(&mut [&mut alice, &mut bob, &mut laptop]).await;
}

/// Bob reads on two devices, each at its own pace and one of them late, while others speak: the
/// cursors end at the highest, others never see them go back, and unread is what is above.
async fn two_devices_reading(side: Side<'_>) {
    let mut race = Race::new(side);
    let mut alice = Recorded::new(side, "alice", "phone").await;
    let mut carol = Recorded::new(side, "carol", "phone").await;
    let mut bob = Recorded::new(side, "bob", "phone").await;
    let mut laptop = Recorded::new(side, "bob", "laptop").await;
    let bobs = side.id("bob");
    for round in 0..rounds() {
        let cid = side.group(&["alice", "bob", "carol"]).await;
        let ids = [side.id("alice"), bobs.clone(), side.id("carol")];
        let mut history = History::of(&[&ids[0], &ids[1], &ids[2]]);
        let reading = async |device: &mut Recorded, every: u64, behind: u64, last: u64| {
            let mut highest = 0;
            loop {
                let seq = device.entry(&cid).await.seq;
                if seq % every == 0 && seq > behind {
                    device.chat.read(&cid, seq - behind).await;
                    highest = highest.max(seq - behind);
                }
                // The own messages do not come: there are three behind the last of others.
                if seq >= last {
                    return highest;
                }
            }
        };
        let naming = |name: &str| -> Vec<Send> {
            let mut sends = messages(name, 12, 0, 0);
            sends.iter_mut().step_by(4).for_each(|send| send.mentions = vec![bobs.clone()]);
            sends
        };
        let (every, behind) = (u64::from(1 + round % 3), u64::from(round % 5));
        let (_, _, phone, late) = tokio::join!(
            alice.burst(&cid, naming("alice")),
            carol.burst(&cid, naming("carol")),
            reading(&mut bob, every, 0, 20),
            reading(&mut laptop, 1, behind + 2, 20),
        );
        let read = phone.max(late);
        history.read(&bobs, read);
        bob.burst(&cid, messages("bob", 3, 0, 0)).await;
        for device in [&mut alice, &mut carol] {
            let who = device.who();
            loop {
                let told = device.chat.receipts(&cid).await;
                for receipt in &told {
                    history.told(&who, &receipt.user, receipt.delivered, receipt.read);
                }
                // Bob's own messages read what is before them: the last report may say so already.
                if told.iter().any(|receipt| receipt.user == bobs && receipt.read >= read) {
                    break;
                }
            }
        }
        let devices = &mut [&mut alice, &mut carol, &mut bob, &mut laptop];
        race.judge(&cid, history, devices).await;
    }
    race.over(&mut [&mut alice, &mut carol, &mut bob, &mut laptop]).await;
}

/// An admin's part: titles by what it knows, the same users added and removed, a role to and fro.
async fn rule(admin: &mut Recorded, cid: &str, name: &str, others: [&str; 2]) -> u32 {
    let [bob, dave] = others;
    let (mut known, mut refused) = (0, 0);
    for n in 0..4 {
        let set = Details { title: Some(format!("{name} {n}")), ..Details::default() };
        let role = if n % 2 == 0 { Role::ReadOnly } else { Role::Member };
        let people = if n % 2 == 0 { add(&[dave], Role::Member) } else { remove(&[dave]) };
        let asks = [
            (details(set, Some(known)), Some(known)),
            (people, None),
            (roles(&[(bob, role)]), None),
        ];
        for (ask, based_on) in asks {
            let reply = admin.change(cid, ask, based_on).await;
            refused += u32::from(reply.code != 0);
            known = known.max(reply.seq);
        }
    }
    refused
}

/// Two who rule change titles, members and roles at once: each change is decided on what the one
/// before left, the later title wins and names the loser, and there is one owner in the end.
async fn two_admins(side: Side<'_>) {
    let mut race = Race::new(side);
    let mut alice = Recorded::new(side, "alice", "phone").await;
    let mut ann = Recorded::new(side, "ann", "phone").await;
    let mut bob = Recorded::new(side, "bob", "phone").await;
    let mut dave = Recorded::new(side, "dave", "phone").await;
    let [alices, anns, bobs, daves] = ["alice", "ann", "bob", "dave"].map(|name| side.id(name));
    let (mut lost, mut met) = (0, 0);
    for _ in 0..rounds() {
        let cid = side.group(&["alice", "ann", "bob"]).await;
        let history = History::of(&[&alices, &anns, &bobs]);
        let reply = alice.change(&cid, roles(&[(&anns, Role::Admin)]), None).await;
        assert_eq!(reply.code, 0, "{reply:?}");
        let (one, two, _) = tokio::join!(
            rule(&mut alice, &cid, "alice", [&bobs, &daves]),
            rule(&mut ann, &cid, "ann", [&bobs, &daves]),
            bob.burst(&cid, messages("bob", 16, 4, 2)),
        );
        met += u32::from(one + two > 0);
        // Both give the ownership to the other at once: alice's is right, ann's only after it.
        let (given, back) = tokio::join!(
            alice.change(&cid, Ask::Transfer(anns.clone()), None),
            ann.change(&cid, Ask::Transfer(alices.clone()), None),
        );
        assert_eq!(given.code, 0, "{given:?}");
        let owners = alice.chat.look(&cid).await.members;
        let owners: Vec<_> =
            owners.into_iter().filter(|m| m.role() == Role::Owner).map(|m| m.user).collect();
        assert_eq!(owners, [if back.code == 0 { &alices } else { &anns }.clone()]);
        let devices = &mut [&mut alice, &mut ann, &mut bob, &mut dave];
        let log = race.judge(&cid, history, devices).await;
        let changes = log.iter().map(|entry| &entry.change);
        lost += changes.filter(|change| matches!(change, Change::Details(.., true))).count();
    }
    assert!(lost > 0, "no two titles were ever written at once");
    assert!(met > 0, "no two changes of members ever met");
    race.over(&mut [&mut alice, &mut ann, &mut bob, &mut dave]).await;
}

/// Dave is added and removed again and again while he lags: what he reads of the log is of his stays
/// alone, however far the log has got by then.
async fn coming_and_going_while_lagging(side: Side<'_>) {
    let mut race = Race::new(side);
    let mut alice = Recorded::new(side, "alice", "phone").await;
    let mut bob = Recorded::new(side, "bob", "phone").await;
    let mut dave = Recorded::slow(side, "dave", "phone").await;
    let daves = side.id("dave");
    for round in 0..rounds() {
        let cid = side.group(&["alice", "bob", "dave"]).await;
        let history = History::of(&[&side.id("alice"), &side.id("bob"), &daves]);
        let open = Cell::new(2);
        let doors = async {
            for n in 0..6 + round % 2 {
                let ask = if n % 2 == 0 { remove(&[&daves]) } else { add(&[&daves], Role::Member) };
                assert_eq!(alice.change(&cid, ask, None).await.code, 0);
            }
            open.set(open.get() - 1);
        };
        let speech = async {
            bob.burst(&cid, messages("bob", 80, 0, 0)).await;
            open.set(open.get() - 1);
        };
        let reading = async {
            while open.get() > 0 {
                dave.rest(&cid).await;
                // Pings without a pause take both cores from those with whom he races.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::join!(doors, speech, reading);
        race.judge(&cid, history, &mut [&mut alice, &mut bob, &mut dave]).await;
    }
    race.over(&mut [&mut alice, &mut bob, &mut dave]).await;
}
