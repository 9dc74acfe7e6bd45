//! [`Store::create`], [`Store::change`], [`Store::conversation`],
//! [`Store::conversations_of`].

use super::support::{
    NOW, Task, accepted, add, behind, change, changed, checked_log, cid, commit_one, device,
    direct, group, join_all, keep, remove, say, send, to, user,
};
use crate::change::{Change, Refused};
use crate::cursor::Feed;
use crate::entry::{ChainHash, Entry, EntryKind};
use crate::ids::{ConversationId, Identity, Seq};
use crate::membership::{ConversationKind, Details, Member, Role};
use crate::policy::Policy;
use crate::store::Store;

/// Version 1, nothing in the log, members ordered by id.
pub async fn a_new_conversation_is_empty(store: &dyn Store) {
    let created = store.create(&direct(cid(1), "zoe", "bob")).await.unwrap();
    let member = |name: &str, role, tag| Member {
        user: user(name),
        role,
        joined_seq: Seq::ZERO,
        visible_seq: Seq::ZERO,
        tag,
        blocked: false,
    };
    assert_eq!(created.members, [member("bob", Role::Member, 2), member("zoe", Role::Owner, 1)]);
    assert_eq!((created.number, created.active_seq, created.active_ms), (0, Seq::ZERO, NOW));
    assert_eq!((&created.details, created.next_tag), (&Details::default(), 3));
    assert_eq!((created.id, created.kind), (cid(1), ConversationKind::Direct));
    assert_eq!((created.head_seq, created.head_chain), (Seq::ZERO, ChainHash::ZERO));
    assert_eq!(created.group_version, 1);
    assert_eq!(store.conversation(cid(1)).await.unwrap(), Some(created));
    assert!(checked_log(store, cid(1)).await.is_empty());
}

/// The same id again: what is there stays and is returned.
pub async fn creating_again_changes_nothing(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    say(store, cid(1), "alice:d", 1).await;
    let (_, before) = changed(store, cid(1), remove(&["bob"])).await;
    let again = group(store, cid(1), &["alice", "bob", "mallory"]).await;
    assert_eq!(again, before);
    assert_eq!(store.conversation(cid(1)).await.unwrap(), Some(before));
}

/// What is not there is not made.
pub async fn an_unknown_conversation_is_none(store: &dyn Store) {
    assert_eq!(store.conversation(cid(1)).await.unwrap(), None);
    let refused = store.change(&change(cid(1), None, add(&["bob"]))).await.unwrap();
    assert_eq!(refused, Err(Refused::Unknown));
    assert!(store.outbox(10).await.unwrap().is_empty());
}

/// The entry is in the log and the outbox; the added see it and what follows, nothing before.
pub async fn adding_appends_an_entry_and_raises_the_version(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    say(store, cid(1), "alice:d", 2).await;
    let request = change(cid(1), Some("alice:d"), add(&["dan", "carol", "alice"]));
    let (entry, after) = store.change(&request).await.unwrap().unwrap();
    let expected = Change::Added {
        group_version: 2,
        users: vec![user("carol"), user("dan")],
        role: Role::Member,
        first_tag: 2,
    };
    assert_eq!((entry.seq, entry.kind), (Seq(3), EntryKind::Membership));
    assert_eq!(entry.change(), Some(expected));
    assert_eq!((&entry.sender, entry.message_id), (&user("alice"), request.message_id));
    assert_eq!(after.group_version, 2);
    assert_eq!(after.member(&user("carol")).unwrap().joined_seq, Seq(2));
    assert_eq!(after.member(&user("carol")).unwrap().role, Role::Member);
    assert_eq!(store.conversation(cid(1)).await.unwrap(), Some(after));
    assert_eq!(checked_log(store, cid(1)).await[2], entry);
    assert_eq!(store.outbox(10).await.unwrap()[2].seq, Seq(3));
    assert_eq!(behind(store, "carol:d", Feed::Log).await, [(cid(1), 2, 3)]);
}

/// The removed are gone from the members and from `behind`; an operator's change names no user.
pub async fn removing_appends_an_entry_and_forgets_cursors(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    group(store, cid(2), &["alice", "bob"]).await;
    keep(store, &["bob:d", "alice:d"]).await;
    for id in [cid(1), cid(2)] {
        say(store, id, "alice:d", 5).await;
        store
            .move_cursors(&[to("bob:d", Feed::Log, id, 4), to("alice:d", Feed::Log, id, 4)])
            .await
            .unwrap();
    }
    let (entry, after) = changed(store, cid(1), remove(&["bob"])).await;
    assert_eq!((entry.seq, entry.sender), (Seq(6), Identity::operator().user));
    assert!(after.member(&user("bob")).is_none());
    assert_eq!(store.conversation(cid(1)).await.unwrap(), Some(after));
    assert_eq!(behind(store, "bob:d", Feed::Log).await, [(cid(2), 4, 5)]);
    assert_eq!(behind(store, "alice:d", Feed::Log).await, [(cid(1), 4, 6), (cid(2), 4, 5)]);
    assert_eq!(checked_log(store, cid(1)).await.len(), 6);
}

/// A second stay begins where it begins: no cursor of the first, nothing of the time between.
pub async fn who_comes_back_starts_anew(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    keep(store, &["bob:d"]).await;
    say(store, cid(1), "alice:d", 3).await;
    store.move_cursors(&[to("bob:d", Feed::Log, cid(1), 2)]).await.unwrap();
    changed(store, cid(1), remove(&["bob"])).await;
    say(store, cid(1), "alice:d", 2).await;
    let (entry, after) = changed(store, cid(1), add(&["bob"])).await;
    assert_eq!((entry.seq, after.member(&user("bob")).unwrap().joined_seq), (Seq(7), Seq(6)));
    assert_eq!(behind(store, "bob:d", Feed::Log).await, [(cid(1), 6, 7)]);
    // A late acknowledgement from the first stay opens nothing of the time between.
    store.move_cursors(&[to("bob:d", Feed::Log, cid(1), 3)]).await.unwrap();
    assert_eq!(behind(store, "bob:d", Feed::Log).await, [(cid(1), 6, 7)]);
    changed(store, cid(1), remove(&["bob"])).await;
    assert!(behind(store, "bob:d", Feed::Log).await.is_empty());
}

/// A refusal is the core's, and changes nothing.
pub async fn a_change_is_refused_by_the_cores_rules(store: &dyn Store) {
    let before = group(store, cid(1), &["alice", "bob"]).await;
    store.create(&direct(cid(2), "alice", "bob")).await.unwrap();
    // The words of a refusal are for people; what it is about is in them.
    for (request, expected) in [
        (change(cid(1), Some("bob:d"), add(&["eve"])), "only an owner or an admin"),
        (change(cid(1), Some("bob:d"), remove(&["alice"])), "only an owner or an admin"),
        (change(cid(1), Some("eve:d"), remove(&["eve"])), "no such conversation"),
        (change(cid(1), None, add(&["bob"])), "nothing to change"),
        (change(cid(1), None, remove(&["eve"])), "nothing to change"),
        (change(cid(2), None, add(&["eve"])), "a direct conversation"),
    ] {
        let refused = store.change(&request).await.unwrap().unwrap_err();
        assert!(refused.to_string().starts_with(expected), "{request:?}: {refused}");
    }
    assert_eq!(store.conversation(cid(1)).await.unwrap(), Some(before));
    assert!(store.outbox(10).await.unwrap().is_empty());
    let leave = change(cid(1), Some("bob:d"), remove(&["bob"]));
    assert!(store.change(&leave).await.unwrap().is_ok());
}

/// The same request again (its answer was lost) is told the entry that it made.
pub async fn a_repeated_change_is_told_its_first_result(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    for actor in [None, Some("alice:d")] {
        let request = change(cid(1), actor, add(&["bob", "carol"]));
        let (entry, _) = store.change(&request).await.unwrap().unwrap();
        say(store, cid(1), "bob:d", 1).await;
        let (again, now) = store.change(&request).await.unwrap().unwrap();
        assert_eq!(again, entry);
        assert_eq!(Some(now), store.conversation(cid(1)).await.unwrap());
        changed(store, cid(1), remove(&["bob", "carol"])).await;
    }
    assert_eq!(checked_log(store, cid(1)).await.len(), 6);
}

/// Sends and changes follow each other without a gap, in one chain.
pub async fn changes_and_sends_share_one_log(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    for round in 0..3u64 {
        changed(store, cid(1), add(&["bob"])).await;
        let fate = commit_one(store, send(cid(1), "bob:d", &format!("r{round}"))).await;
        assert_eq!(accepted(fate).1, Seq(round * 3 + 2));
        changed(store, cid(1), remove(&["bob"])).await;
    }
    let log = checked_log(store, cid(1)).await;
    assert_eq!(log.iter().filter(|entry| entry.change().is_some()).count(), 6);
    assert_eq!(store.conversation(cid(1)).await.unwrap().unwrap().group_version, 7);
}

/// Changes and sends at once: each change is decided on the members that the one before left.
pub async fn concurrent_changes_are_decided_one_after_another(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    let requests: Vec<_> =
        (0..6).map(|i| change(cid(1), None, add(&["bob", &format!("user-{i}")]))).collect();
    let policy = Policy::default();
    let sends: Vec<_> = (0..6).map(|i| [send(cid(1), "alice:d", &format!("k{i}"))]).collect();
    let mut tasks: Vec<Task<'_, Seq>> = Vec::new();
    for (batch, request) in sends.iter().zip(&requests) {
        let (commit, change) = (store.commit(batch, &policy), store.change(request));
        tasks.push(Box::pin(async move { accepted(commit.await.unwrap().fates[0]).1 }));
        tasks.push(Box::pin(async move { change.await.unwrap().unwrap().0.seq }));
    }
    let mut places = join_all(tasks).await;
    places.sort();
    assert_eq!(places, (1..=12).map(Seq).collect::<Vec<_>>());
    let log = checked_log(store, cid(1)).await;
    let of_bob = |change: &Change| matches!(change, Change::Added { users, .. } if users.contains(&user("bob")));
    assert_eq!(log.iter().filter_map(Entry::change).filter(of_bob).count(), 1);
    let after = store.conversation(cid(1)).await.unwrap().unwrap();
    assert_eq!((after.members.len(), after.group_version), (8, 7));
}

/// Ordered by id, above `after`, only where the user is a member now, without the members.
pub async fn conversations_of_a_user_are_paged_by_id(store: &dyn Store) {
    for number in [5, 1, 0xff, 3] {
        group(store, cid(number), &["bob", "alice"]).await;
    }
    group(store, cid(4), &["bob"]).await;
    changed(store, cid(3), remove(&["alice"])).await;
    say(store, cid(5), "bob:d", 2).await;
    let ids = async |after: Option<ConversationId>, limit| -> Vec<ConversationId> {
        let page = store.conversations_of(&user("alice"), after, limit).await.unwrap();
        page.iter().map(|conversation| conversation.id).collect()
    };
    assert_eq!(ids(None, 10).await, [cid(1), cid(5), cid(0xff)]);
    assert_eq!(ids(None, 2).await, [cid(1), cid(5)]);
    assert_eq!(ids(Some(cid(5)), 2).await, [cid(0xff)]);
    assert!(ids(Some(cid(0xff)), 2).await.is_empty());
    let page = store.conversations_of(&user("alice"), Some(cid(1)), 1).await.unwrap();
    let whole = store.conversation(cid(5)).await.unwrap().unwrap();
    assert_eq!(page, [crate::membership::Conversation { members: vec![], ..whole }]);
    assert!(store.conversations_of(&device("eve:d").user, None, 9).await.unwrap().is_empty());
}

/// [`Store::member`] is what [`Store::conversation`] says of one user.
pub async fn one_member_is_told_apart_from_strangers(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    say(store, cid(1), "alice:d", 2).await;
    changed(store, cid(1), add(&["carol"])).await;
    let (_, after) = changed(store, cid(1), remove(&["bob"])).await;
    for name in ["alice", "bob", "carol", "eve"] {
        let found = store.member(cid(1), &user(name)).await.unwrap();
        assert_eq!(found.as_ref(), after.member(&user(name)), "{name}");
        assert_eq!(found.is_some(), matches!(name, "alice" | "carol"), "{name}");
    }
    assert_eq!(store.member(cid(2), &user("alice")).await.unwrap(), None);
    // Who comes back has one stay that counts.
    let (_, after) = changed(store, cid(1), add(&["bob"])).await;
    let found = store.member(cid(1), &user("bob")).await.unwrap();
    assert_eq!(found.as_ref(), after.member(&user("bob")));
}

/// Both are members now, of any conversation; named twice, a user is answered once.
pub async fn the_acquainted_share_a_conversation_now(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    group(store, cid(2), &["alice", "carol", "bob"]).await;
    group(store, cid(3), &["bob", "dan"]).await;
    let names = |names: &[&str]| names.iter().map(|name| user(name)).collect::<Vec<_>>();
    let all = names(&["eve", "dan", "carol", "bob", "bob"]);
    let found = store.acquainted(&user("alice"), &all).await.unwrap();
    assert_eq!(found, names(&["bob", "carol"]));
    assert_eq!(store.acquainted(&user("eve"), &all).await.unwrap(), []);
    assert_eq!(store.acquainted(&user("alice"), &[]).await.unwrap(), []);
    // bob is left in one of the two; carol in none.
    changed(store, cid(2), remove(&["bob", "carol"])).await;
    let found = store.acquainted(&user("alice"), &all).await.unwrap();
    assert_eq!(found, names(&["bob"]));
    changed(store, cid(1), remove(&["bob"])).await;
    assert_eq!(store.acquainted(&user("alice"), &all).await.unwrap(), []);
}
