//! [`People`](crate::people::People): users, devices, idempotency keys.

use super::support::{NOW, behind, cid, device, group, keep, open_one, opening, say, to, user};
use crate::cursor::{Feed, Subscription, SubscriptionChange};
use crate::ids::{DeviceId, Identity};
use crate::limits::REVOKED_UNSEEN_MAX;
use crate::people::{Ban, Claim, Device, KEY_KEPT_MS, Settings, TooManyUnseen, User, UserChange};
use crate::store::{Prune, Store};

async fn change(store: &dyn Store, name: &str, change: UserChange) -> Result<User, User> {
    store.change_user(&user(name), &change).await.unwrap()
}

fn named(name: &str, if_version: Option<u64>) -> UserChange {
    UserChange { name: Some(name.to_owned()), if_version, time_ms: NOW, ..UserChange::default() }
}

/// Nothing is stored of a user of whom nothing is stored.
pub async fn an_unknown_user_is_all_default(store: &dyn Store) {
    assert_eq!(store.user(&user("eve")).await.unwrap(), User::unknown(user("eve")));
    assert!(store.devices(&user("eve")).await.unwrap().is_empty());
    assert!(store.blocks(&user("eve")).await.unwrap().is_empty());
}

/// Each field changes alone; each change raises the version by one.
pub async fn a_users_row_is_made_and_changed(store: &dyn Store) {
    let made = change(store, "bob", named("Bób \"B\" 🚲", None)).await.unwrap();
    let expected = User {
        name: "Bób \"B\" 🚲".to_owned(),
        version: 1,
        created_ms: NOW,
        ..User::unknown(user("bob"))
    };
    assert_eq!(made, expected);
    let hash = Some("$argon2id$v=19$m=1$x".to_owned());
    let set = UserChange { password_hash: hash.clone(), time_ms: NOW + 5, ..UserChange::default() };
    change(store, "bob", set).await.unwrap();
    let set = UserChange { share_reads: Some(false), time_ms: NOW + 6, ..UserChange::default() };
    let hidden = change(store, "bob", set).await.unwrap();
    let settings = Settings { share_reads: false, share_presence: true };
    let expected = User { password_hash: hash, settings, version: 3, ..expected };
    assert_eq!(hidden, expected);
    let set = UserChange { share_presence: Some(false), ..named("", None) };
    let last = change(store, "bob", set).await.unwrap();
    let settings = Settings { share_reads: false, share_presence: false };
    assert_eq!(last, User { name: String::new(), settings, version: 4, ..expected });
    assert_eq!(store.user(&user("bob")).await.unwrap(), last);
    assert_eq!(store.user(&user("bo")).await.unwrap().version, 0);
}

/// Another version than the one named changes nothing and is told the row as it is.
pub async fn a_users_version_guards_its_row(store: &dyn Store) {
    let missing = change(store, "bob", named("a", Some(1))).await.unwrap_err();
    assert_eq!(missing, User::unknown(user("bob")));
    assert_eq!(store.user(&user("bob")).await.unwrap(), User::unknown(user("bob")));
    let made = change(store, "bob", named("a", Some(0))).await.unwrap();
    assert_eq!(change(store, "bob", named("b", Some(0))).await.unwrap_err(), made);
    let second = change(store, "bob", named("b", Some(1))).await.unwrap();
    assert_eq!((second.version, second.name.as_str()), (2, "b"));
    assert_eq!(change(store, "bob", named("c", Some(1))).await.unwrap_err(), second);
}

/// Many at once from the same version: one of them.
#[allow(clippy::result_large_err, reason = "the row as it is, in test code")]
pub async fn concurrent_changes_of_a_user_have_one_winner(store: &dyn Store) {
    change(store, "bob", named("first", None)).await.unwrap();
    let bob = user("bob");
    let changes: Vec<UserChange> = (0..8).map(|i| named(&format!("n{i}"), Some(1))).collect();
    let tasks = changes.iter().map(|change| store.change_user(&bob, change)).collect();
    let results: Vec<_> =
        super::support::join_all(tasks).await.into_iter().map(|r| r.unwrap()).collect();
    let now = store.user(&bob).await.unwrap();
    assert_eq!((results.iter().filter(|r| r.is_ok()).count(), now.version), (1, 2));
    assert!(results.iter().all(|r| r.as_ref().unwrap_or_else(|now| now) == &now));
}

/// The latest time counts; with or without a row, and no change of the row.
pub async fn last_seen_never_goes_back(store: &dyn Store) {
    let made = change(store, "bob", named("Bob", None)).await.unwrap();
    let note = async |seen: &[(&str, u64)]| {
        let seen: Vec<_> = seen.iter().map(|(name, at)| (user(name), NOW + at)).collect();
        store.note_seen(&seen).await.unwrap();
    };
    note(&[("bob", 5), ("eve", 3), ("bob", 9), ("bob", 7)]).await;
    note(&[("bob", 8), ("eve", 4)]).await;
    note(&[]).await;
    assert_eq!(
        store.user(&user("bob")).await.unwrap(),
        User { last_seen_ms: Some(NOW + 9), ..made }
    );
    let eve = store.user(&user("eve")).await.unwrap();
    assert_eq!((eve.last_seen_ms, eve.version), (Some(NOW + 4), 0));
    let made = change(store, "eve", named("Eve", Some(0))).await.unwrap();
    assert_eq!((made.version, made.last_seen_ms), (1, Some(NOW + 4)));
}

/// Seen first at one time, connected last at another; a name stays.
pub async fn devices_are_noted_and_named(store: &dyn Store) {
    let note = async |connected: &[(&str, u64)]| {
        let connected: Vec<_> =
            connected.iter().map(|(who, at)| (device(who), NOW + at * 60_000)).collect();
        store.note_devices(&connected).await.unwrap();
    };
    assert_eq!(store.name_device(&device("bob:phone"), "x").await.unwrap(), None);
    note(&[("bob:phone", 1), ("bob:laptop", 3), ("bobby:phone", 1), ("bob:laptop", 2)]).await;
    let phone = store.name_device(&device("bob:phone"), "Bob's 📱").await.unwrap().unwrap();
    assert_eq!(phone.name, "Bob's 📱");
    note(&[("bob:phone", 9), ("bob:laptop", 1)]).await;
    note(&[]).await;
    let of = |id: &str, name: &str, created: u64, connected: u64| Device {
        id: DeviceId::new(id).unwrap(),
        name: name.to_owned(),
        created_ms: NOW + created * 60_000,
        connected_ms: NOW + connected * 60_000,
        revoked_ms: None,
        barred: false,
    };
    let devices = store.devices(&user("bob")).await.unwrap();
    // Of two notes in one batch the latest counts; which of them was "first" is not told.
    assert!(
        devices[0].created_ms >= NOW + 2 * 60_000
            && devices[0].created_ms <= devices[0].connected_ms
    );
    let laptop = Device { created_ms: devices[0].created_ms, ..of("laptop", "", 0, 3) };
    assert_eq!(devices, [laptop, of("phone", "Bob's 📱", 1, 9)]);
    assert_eq!(store.devices(&user("bobby")).await.unwrap().len(), 1);
}

/// A revoked device loses what was kept for it; others of the user do not. The later time counts.
pub async fn a_revoked_device_is_forgotten_but_listed(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    say(store, cid(1), "alice:d", 5).await;
    keep(store, &["bob:phone", "bob:laptop"]).await;
    for who in ["bob:phone", "bob:laptop"] {
        let put = Subscription { filter: "m/#".to_owned(), options: 1, identifier: None };
        let change = SubscriptionChange { put: vec![put], ..SubscriptionChange::default() };
        store.change_subscriptions(&device(who), &change).await.unwrap();
        store.move_cursors(&[to(who, Feed::Log, cid(1), 4)]).await.unwrap();
    }
    store.note_devices(&[(device("bob:phone"), NOW)]).await.unwrap();
    let revoke = async |who: &str, at: u64| {
        store.revoke_device(&device(who), NOW + at, None).await.unwrap().unwrap().revoked_ms
    };
    assert_eq!(revoke("bob:phone", 5).await, Some(NOW + 5));
    assert!(!open_one(store, opening("bob:phone", false, 60)).await.present);
    assert_eq!(behind(store, "bob:phone", Feed::Log).await, [(cid(1), 0, 5)]);
    let kept = open_one(store, opening("bob:laptop", false, 60)).await;
    assert_eq!((kept.present, kept.subscriptions.len()), (true, 1));
    assert_eq!(behind(store, "bob:laptop", Feed::Log).await, [(cid(1), 4, 5)]);
    // What it keeps after a revocation that is repeated ends too.
    keep(store, &["bob:phone"]).await;
    assert_eq!(revoke("bob:phone", 3).await, Some(NOW + 5));
    assert!(!open_one(store, opening("bob:phone", false, 60)).await.present);
    assert_eq!(revoke("bob:phone", 9).await, Some(NOW + 9));
    assert_eq!(revoke("bob:never-seen", 7).await, Some(NOW + 7));
    let devices = store.devices(&user("bob")).await.unwrap();
    let seen: Vec<_> = devices.iter().map(|d| (d.id.as_str(), d.revoked_ms)).collect();
    assert_eq!(seen, [("never-seen", Some(NOW + 7)), ("phone", Some(NOW + 9))]);
    // A later connection (a new token) does not undo it: the time says which tokens are refused.
    store.note_devices(&[(device("bob:phone"), NOW + 99)]).await.unwrap();
    assert_eq!(store.devices(&user("bob")).await.unwrap()[1].revoked_ms, Some(NOW + 9));
}

fn ban(issued_until: Option<u64>, barred: bool) -> Ban {
    Ban { issued_until_ms: issued_until.map(|at| NOW + at), barred }
}

/// What is told of revocations above a number: whose, which device, what is refused.
async fn told(store: &dyn Store, after: u64) -> Vec<(String, Ban)> {
    let found = store.revocations(after, 100).await.unwrap();
    assert!(found.iter().zip(found.iter().skip(1)).all(|(a, b)| a.number < b.number));
    found
        .into_iter()
        .map(|r| match r.device {
            Some(device) => (format!("{}:{device}", r.user), r.ban),
            None => (r.user.to_string(), r.ban),
        })
        .collect()
}

/// Each change of what is refused gets the next number, and one row stands for a device or a user:
/// who reads on from the last number that it has seen misses nothing.
pub async fn revocations_are_numbered(store: &dyn Store) {
    assert!(told(store, 0).await.is_empty());
    for (i, who) in (0..).zip(["b:z", "a:m", "b:a"]) {
        store.revoke_device(&device(who), NOW + i, None).await.unwrap().unwrap();
    }
    store.note_devices(&[(device("a:c"), NOW)]).await.unwrap();
    let all = |names: &[(&str, Ban)]| -> Vec<(String, Ban)> {
        names.iter().map(|(name, ban)| ((*name).to_owned(), *ban)).collect()
    };
    let (z, m, a) = (ban(Some(0), false), ban(Some(1), false), ban(Some(2), false));
    assert_eq!(told(store, 0).await, all(&[("b:z", z), ("a:m", m), ("b:a", a)]));
    let first = store.revocations(0, 1).await.unwrap().remove(0).number;
    assert_eq!(told(store, first).await, all(&[("a:m", m), ("b:a", a)]));
    let last = store.revocations(0, 9).await.unwrap()[2].number;
    // The same again is told again: its time is later.
    store.revoke_device(&device("b:z"), NOW + 9, Some(true)).await.unwrap().unwrap();
    assert_eq!(told(store, last).await, all(&[("b:z", ban(Some(9), true))]));
    assert_eq!(told(store, 0).await.len(), 3);
    let kept = store.revoke_device(&device("b:z"), NOW + 10, None).await.unwrap().unwrap();
    assert!(kept.barred);
    let lifted = store.admit_device(&device("b:z")).await.unwrap().unwrap();
    assert_eq!((lifted.barred, lifted.revoked_ms), (false, Some(NOW + 10)));
    assert_eq!(told(store, last).await, all(&[("b:z", ban(Some(10), false))]));
    assert_eq!(store.admit_device(&device("b:nobody")).await.unwrap(), None);
}

/// Many at once: every number is another one, and none is missed by who reads along.
pub async fn concurrent_revocations_are_read_without_a_gap(store: &dyn Store) {
    let names: Vec<Identity> = (0..16).map(|n| device(&format!("u{n}:d"))).collect();
    let (mut after, mut seen) = (0, Vec::new());
    for part in names.chunks(4) {
        let tasks = part.iter().map(|who| store.revoke_device(who, NOW, None)).collect();
        for done in super::support::join_all(tasks).await {
            done.unwrap().unwrap();
        }
        let found = store.revocations(after, 100).await.unwrap();
        after = found.last().unwrap().number;
        seen.extend(found.into_iter().map(|r| r.user));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), names.len());
}

/// A user is suspended and let in again, revoked, given another password: facts of their own, and each
/// time what is kept for the devices ends.
pub async fn what_is_refused_of_a_user_is_a_fact(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let kept = async |who: &str| open_one(store, opening(who, false, 60)).await.present;
    let at = |after: u64| UserChange { time_ms: NOW + after, ..UserChange::default() };
    keep(store, &["bob:phone", "bob:laptop", "bobby:phone"]).await;
    let suspended = UserChange { suspended: Some(true), ..at(5) };
    let bob = change(store, "bob", suspended).await.unwrap();
    assert_eq!((bob.suspended, bob.revoked_ms), (true, Some(NOW + 5)));
    assert!(!kept("bob:phone").await && !kept("bob:laptop").await && kept("bobby:phone").await);
    assert_eq!(told(store, 0).await, [("bob".to_owned(), ban(Some(5), true))]);
    let lifted = UserChange { suspended: Some(false), ..at(7) };
    let bob = change(store, "bob", lifted).await.unwrap();
    assert_eq!((bob.suspended, bob.revoked_ms), (false, Some(NOW + 5)));
    assert_eq!(store.user(&user("bob")).await.unwrap(), bob);
    let number = store.revocations(0, 9).await.unwrap()[0].number;
    // A first password takes nothing from anybody; another one does.
    let password = |hash: &str, after| UserChange { password_hash: Some(hash.into()), ..at(after) };
    assert_eq!(change(store, "bob", password("a", 8)).await.unwrap().revoked_ms, Some(NOW + 5));
    assert!(told(store, number).await.is_empty());
    keep(store, &["bob:phone"]).await;
    assert_eq!(change(store, "bob", password("b", 9)).await.unwrap().revoked_ms, Some(NOW + 9));
    assert_eq!(told(store, number).await, [("bob".to_owned(), ban(Some(9), false))]);
    assert!(!kept("bob:phone").await);
    let revoke = UserChange { revoke: true, ..at(11) };
    assert_eq!(change(store, "bob", revoke).await.unwrap().revoked_ms, Some(NOW + 11));
    // A name is no reason to end anything.
    keep(store, &["bob:phone"]).await;
    change(store, "bob", named("Bob", None)).await.unwrap();
    assert!(kept("bob:phone").await);
}

/// A deleted user keeps its id and nothing else, and is refused for good.
pub async fn a_deleted_user_leaves_its_id(store: &dyn Store) {
    change(store, "bob", named("Bob", None)).await.unwrap();
    let set = UserChange {
        password_hash: Some("x".to_owned()),
        share_reads: Some(false),
        ..UserChange::default()
    };
    change(store, "bob", set).await.unwrap();
    store.note_devices(&[(device("bob:phone"), NOW), (device("bobby:phone"), NOW)]).await.unwrap();
    store.revoke_device(&device("bob:laptop"), NOW, None).await.unwrap().unwrap();
    keep(store, &["bob:phone"]).await;
    let delete = UserChange { delete: true, time_ms: NOW + 5, ..UserChange::default() };
    let gone = change(store, "bob", delete.clone()).await.unwrap();
    assert_eq!((gone.name.as_str(), &gone.password_hash, gone.suspended), ("", &None, true));
    assert_eq!((gone.settings, gone.deleted_ms), (Settings::default(), Some(NOW + 5)));
    assert!(store.devices(&user("bob")).await.unwrap().is_empty());
    assert_eq!(store.devices(&user("bobby")).await.unwrap().len(), 1);
    assert!(!open_one(store, opening("bob:phone", false, 60)).await.present);
    assert_eq!(told(store, 0).await, [("bob".to_owned(), ban(Some(5), true))]);
    // For good: lifting it, or deleting it again, changes nothing of that.
    let lift = UserChange { suspended: Some(false), ..UserChange::default() };
    assert!(change(store, "bob", lift).await.unwrap().suspended);
    let again = change(store, "bob", UserChange { time_ms: NOW + 9, ..delete }).await.unwrap();
    assert_eq!(again.deleted_ms, Some(NOW + 5));
}

/// Invented devices: a few of a user, and forgotten when no token of theirs can be valid.
pub async fn devices_that_nobody_saw_are_bounded_and_forgotten(store: &dyn Store) {
    let revoke = async |who: &str, at: u64| store.revoke_device(&device(who), NOW + at, None).await;
    for n in 0..REVOKED_UNSEEN_MAX {
        revoke(&format!("bob:d{n}"), u64::from(n)).await.unwrap().unwrap();
    }
    assert_eq!(revoke("bob:one-more", 0).await.unwrap(), Err(TooManyUnseen));
    // One of them again, one that was there, and somebody else's.
    store.note_devices(&[(device("bob:phone"), NOW)]).await.unwrap();
    for who in ["bob:d3", "bob:phone", "eve:one-more"] {
        revoke(who, 3).await.unwrap().unwrap();
    }
    store.revoke_device(&device("bob:d0"), NOW, Some(true)).await.unwrap().unwrap();
    let forgotten = async |before: u64, limit| -> Vec<String> {
        let mut found = store.forget_unseen(NOW + before, limit).await.unwrap();
        found.sort();
        found.iter().map(ToString::to_string).collect()
    };
    assert_eq!(forgotten(3, 9).await, ["bob:d1", "bob:d2"]);
    assert_eq!((forgotten(5, 1).await.len(), forgotten(5, 9).await.len()), (1, 2));
    assert!(forgotten(5, 9).await.is_empty());
    let left = told(store, 0).await;
    let has = |who: &str| left.iter().any(|(name, _)| name == who);
    assert!(has("bob:phone") && has("bob:d0") && has("bob:d5"), "{left:?}");
    assert!(!has("bob:d1") && !has("bob:d3") && !has("eve:one-more"), "{left:?}");
    revoke("bob:one-more", 0).await.unwrap().unwrap();
}

/// The first request with a key has it; another with the same key is told so. Callers are apart.
pub async fn a_key_belongs_to_one_request(store: &dyn Store) {
    let claim = async |caller: &str, key: &str, print: u8, time_ms| {
        store.claim_key(caller, key, &[print; 32], time_ms).await.unwrap()
    };
    assert_eq!(claim("alice", "k", 1, NOW).await, Claim::Yours);
    assert_eq!(claim("alice", "k", 1, NOW + 5).await, Claim::Yours);
    assert_eq!(claim("alice", "k", 2, NOW + 5).await, Claim::Another);
    assert_eq!(claim("alice", "K", 2, NOW).await, Claim::Yours);
    assert_eq!(claim("bob", "k", 2, NOW).await, Claim::Yours);
    assert_eq!(claim("alice", "k", 1, NOW + 6).await, Claim::Yours);
    let alice: Vec<[u8; 32]> = (0..8u8).map(|print| [print; 32]).collect();
    let tasks = alice.iter().map(|print| store.claim_key("alice", "race", print, NOW)).collect();
    let claims: Vec<Claim> =
        super::support::join_all(tasks).await.into_iter().map(|claim| claim.unwrap()).collect();
    assert_eq!(claims.iter().filter(|claim| **claim == Claim::Yours).count(), 1);
}

/// A key is remembered for [`KEY_KEPT_MS`] after its first use, and a few rows at a time forgotten.
pub async fn old_keys_are_forgotten(store: &dyn Store) {
    for key in ["a", "b", "c"] {
        store.claim_key("alice", key, &[1; 32], NOW).await.unwrap();
    }
    store.claim_key("alice", "young", &[1; 32], NOW + 1000).await.unwrap();
    // A repetition does not make it younger.
    store.claim_key("alice", "a", &[1; 32], NOW + 900).await.unwrap();
    let prune = async |now_ms| {
        let prune = Prune { now_ms, bodies_before_ms: None, rows_max: 2 };
        store.prune(prune).await.unwrap().keys
    };
    assert_eq!(prune(NOW + KEY_KEPT_MS - 1).await, 0);
    let after = NOW + KEY_KEPT_MS + 1;
    assert_eq!((prune(after).await, prune(after).await, prune(after).await), (2, 1, 0));
    assert_eq!(store.claim_key("alice", "a", &[2; 32], after).await.unwrap(), Claim::Yours);
    assert_eq!(store.claim_key("alice", "young", &[2; 32], after).await.unwrap(), Claim::Another);
}
