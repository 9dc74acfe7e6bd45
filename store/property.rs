//! Any interleaving of commands gives the same log, inbox and receipts after replay. One module of
//! both stores' tests.
//!
//! A failure prints its seed; `PROPTEST_RNG_SEED=<seed>` runs the same cases again, and
//! `PROPTEST_CASES=<n>` more of them.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Deref as _;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use godwit_core::conformance::damage::{Damage, Harm as _};
use godwit_core::conformance::interleaving::{About, Command, PEOPLE, What, World};
use godwit_core::conformance::walks::{self, Move};
use godwit_core::inbox::MarksChange;
use godwit_core::membership::Role;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::fresh;

/// Places that commands name: mostly those where the first messages are, and a few beyond the head.
fn place() -> impl Strategy<Value = u8> {
    prop_oneof![5 => 1..9u8, 1 => 0..24u8]
}

fn person() -> impl Strategy<Value = u8> {
    0..PEOPLE
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Owner), Just(Role::Admin), Just(Role::Member), Just(Role::ReadOnly)]
}

fn marks() -> impl Strategy<Value = MarksChange> {
    let time = || option::of(option::of(1u64..100));
    let flag = || option::of(any::<bool>());
    (time(), flag(), time(), flag()).prop_map(|(muted, archived, pinned, unread)| MarksChange {
        muted_until_ms: muted,
        archived,
        pinned_ms: pinned,
        marked_unread: unread,
    })
}

fn what() -> impl Strategy<Value = What> {
    // Only the sender may edit, and only what nobody has deleted: few tries succeed.
    let about = prop_oneof![
        3 => Just(About::Edit),
        1 => Just(About::Delete),
        1 => Just(About::React),
        1 => Just(About::Unreact),
        1 => Just(About::Pin),
        1 => Just(About::Unpin),
    ];
    let users = || vec(person(), 1..4);
    let say = (option::weighted(0.2, place()), vec(person(), 0..3), option::weighted(0.1, 1..6u8));
    let flags = || (prop::bool::weighted(0.1), any::<bool>());
    let details = (
        option::of(0..4u8),
        option::weighted(0.3, any::<bool>()),
        option::weighted(0.2, any::<bool>()),
        option::of(place()),
    );
    prop_oneof![
        8 => (say, flags()).prop_map(|((reply, names, version), (expires, reads))| {
            What::Say { reply, names, version, expires, reads }
        }),
        8 => (about, place(), vec(person(), 0..3)).prop_map(|(kind, target, names)| {
            What::About { kind, target, names }
        }),
        3 => (users(), role()).prop_map(|(users, role)| What::Add { users, role }),
        2 => users().prop_map(|users| What::Remove { users }),
        1 => (person(), role()).prop_map(|(user, role)| What::Role { user, role }),
        1 => person().prop_map(|to| What::Transfer { to }),
        2 => details.prop_map(|(title, history, expiry, knows)| {
            What::Details { title, history, expiry, knows }
        }),
        5 => (place(), place()).prop_map(|(delivered, read)| What::Report { delivered, read }),
        1 => marks().prop_map(What::Mark),
        1 => (0..2u8, prop::bool::weighted(0.4)).prop_map(|(other, on)| What::Block { other, on }),
        1 => Just(What::Prune),
    ]
}

/// The group's owner and its first member do most, so that much is allowed.
fn command() -> impl Strategy<Value = Command> {
    let actor = prop_oneof![3 => Just(0u8), 2 => Just(1u8), 2 => person()];
    (actor, any::<bool>(), prop::bool::weighted(0.25), what())
        .prop_map(|(actor, phone, direct, what)| Command { actor, phone, direct, what })
}

/// The first messages of both conversations, so that there is something to speak about.
fn beginning() -> impl Iterator<Item = Command> {
    (0..12u8).map(|n| Command {
        actor: n % 2,
        phone: true,
        direct: n >= 8,
        what: What::Say {
            reply: None,
            names: vec![1],
            version: None,
            expires: n == 7,
            reads: false,
        },
    })
}

/// Commands, and the order in which they are tried: each once, some again and again.
fn interleaving() -> impl Strategy<Value = (Vec<Command>, Vec<usize>)> {
    vec(command(), 1..60).prop_flat_map(|commands| {
        let (first, count) = (beginning().count(), commands.len());
        let commands: Vec<Command> = beginning().chain(commands).collect();
        let order = vec(0..first + count, 0..=count / 2)
            .prop_map(move |again| (first..first + count).chain(again).collect::<Vec<usize>>())
            .prop_shuffle()
            .prop_map(move |order| (0..first).chain(order).collect());
        (Just(commands), order)
    })
}

struct Stores {
    first: crate::Fresh,
    second: crate::Fresh,
}

/// Runs the cases on two stores, and prints the seed of a failure. Every name in `seen` must have
/// been carried out a few times, or the cases have shown nothing of it: in 48 cases each is 15 times and
/// more on average, so that fewer than three are no accident.
fn check<S: Strategy>(
    strategy: S,
    cases: u32,
    seen: &[&str],
    case: &impl AsyncFn(&Stores, u64, S::Value) -> BTreeMap<String, usize>,
) {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => RandomState::new().hash_one(0),
    };
    config.rng_seed = RngSeed::Fixed(seed);
    let cases = config.cases as usize;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let stores = runtime.block_on(async { Stores { first: fresh().await, second: fresh().await } });
    // Shrinking runs a case again, and must find nothing of it.
    let (number, counts) = (AtomicU64::new(1), Mutex::new(BTreeMap::<String, usize>::new()));
    let result = TestRunner::new(config).run(&strategy, |value| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        for (name, count) in runtime.block_on(case(&stores, number, value)) {
            *counts.lock().unwrap().entry(name).or_default() += count;
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("PROPTEST_RNG_SEED={seed} shows it again: {error}");
    }
    let counts = counts.into_inner().unwrap();
    for name in seen {
        let count = counts.get(*name).copied().unwrap_or_default();
        assert!(
            count >= (cases / 16).max(1),
            "PROPTEST_RNG_SEED={seed}: {name} {count} times: {counts:?}"
        );
    }
}

const ENTRIES: [&str; 8] =
    ["Message", "Edit", "Deletion", "Reaction", "Pin", "Unpin", "Membership", "Details"];

#[test]
fn any_interleaving_is_what_its_log_says_and_replays() {
    let strategy = (interleaving(), vec(any::<bool>(), 100));
    let seen: Vec<&str> =
        ENTRIES.into_iter().chain(["receipt", "mark", "block", "prune"]).collect();
    check(strategy, 48, &seen, &async |stores, number, ((commands, order), batched)| {
        let (first, second) = (stores.first.deref(), stores.second.deref());
        let mut world = World::begin(first, number).await;
        world.in_order(first, &commands, &order, &batched).await;
        world.repeat(first).await;
        world.replay_onto(second).await;
        world.repeat(second).await;
        world.counts()
    });
}

#[test]
fn people_at_the_same_time_leave_one_log_that_replays() {
    let seen: Vec<&str> = ENTRIES.into_iter().chain(["receipt"]).collect();
    check(interleaving(), 48, &seen, &async |stores, number, (commands, order)| {
        let (first, second) = (stores.first.deref(), stores.second.deref());
        let mut world = World::begin(first, number).await;
        world.at_once(first, &commands, &order).await;
        world.repeat(first).await;
        world.replay_onto(second).await;
        world.counts()
    });
}

/// A walk through an inbox that moves between any two pages, with times of before and of later: each page
/// is what the walk's model says, and nothing is skipped.
#[test]
fn a_walk_meets_everything_however_an_inbox_moves() {
    let time = || prop_oneof![3 => 0..8u8, 1 => 100..200u8];
    let moves = prop_oneof![
        4 => time().prop_map(Move::Say),
        2 => time().prop_map(Move::Pin),
        1 => Just(Move::Unpin),
        1 => Just(Move::React),
    ];
    let step = (1..5u32, vec((0..walks::CONVERSATIONS, moves), 0..5));
    check(
        vec(step, 1..8),
        64,
        &["say", "pin", "unpin", "react"],
        &async |stores, number, steps| {
            let mut counts = BTreeMap::new();
            for name in walks::walk(&*stores.first, number, &steps).await {
                *counts.entry(name.to_owned()).or_default() += 1;
            }
            counts
        },
    );
}

/// Values that are wrong beside a right log: the comparison that the properties rest on sees each.
#[test]
fn the_comparison_sees_planted_damage() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let say = |actor| Command {
        actor,
        phone: true,
        direct: false,
        what: What::Say {
            reply: None,
            names: vec![1],
            version: None,
            expires: false,
            reads: false,
        },
    };
    let commands = [say(0), say(1), say(0)];
    for number in 0..5 {
        let (store, world) = runtime.block_on(async {
            let store = fresh().await;
            // Odd: its logs begin empty.
            let mut world = World::begin(&*store, 2 * number + 1).await;
            world.in_order(&*store, &commands, &[0, 1, 2], &[]).await;
            let (conversation, user) = (world.group(), world.person(1));
            let damage = match number {
                0 => Damage::Head { conversation, number: 4, active_seq: 3, active_ms: 0 },
                1 => Damage::EntryNumber { conversation, seq: 2, number: 3 },
                2 => Damage::Mention { conversation, user, seq: 2 },
                3 => Damage::NoMentions { conversation },
                _ => Damage::Cursors { conversation, user, delivered: 2, read: 1 },
            };
            store.harm(damage).await;
            (store, world)
        });
        let seen = std::panic::catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(world.matches(&*store));
        }));
        assert!(seen.is_err(), "damage {number} was not seen");
    }
}
