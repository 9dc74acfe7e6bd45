//! [`Store::change`] of roles, details and settings, [`Store::stays`] and [`Store::left`].

use super::support::{
    NOW, Task, accepted, add, change, changed, checked_log, cid, commit_one, conversation, direct,
    group, join_all, remove, say, send, user,
};
use crate::change::{Ask, Change, ChangeRequest, DetailsChange, Refused};
use crate::commit::{Fate, SendKey};
use crate::entry::EntryKind;
use crate::ids::{ClientMessageId, Identity, Seq, UserId};
use crate::limits::MEMBERS_MAX;
use crate::membership::{
    Conversation, ConversationKind, Details, History, Left, NewConversation, Role, Stamp, Stay,
};
use crate::store::Store;

fn title(text: &str, based_on: Option<u64>) -> Ask {
    let set = DetailsChange { title: Some(text.to_owned()), ..DetailsChange::default() };
    Ask::Details { set, based_on: based_on.map(Seq) }
}

fn roles(roles: &[(&str, Role)]) -> Ask {
    Ask::Roles { roles: roles.iter().map(|(name, role)| (user(name), *role)).collect() }
}

async fn role_of(store: &dyn Store, name: &str) -> Role {
    conversation(store, cid(1)).await.member(&user(name)).unwrap().role
}

async fn refused(store: &dyn Store, actor: Option<&str>, ask: Ask) -> Refused {
    let before = conversation(store, cid(1)).await;
    let refused = store.change(&change(cid(1), actor, ask)).await.unwrap().unwrap_err();
    assert_eq!(conversation(store, cid(1)).await, before, "a refusal changes nothing");
    refused
}

/// Title, description, history and expiry are there from the creation, with the tags in the order
/// given.
pub async fn a_group_is_created_with_its_details(store: &dyn Store) {
    let details = Details {
        title: "Ausflug \"2027\"\\n 🚲".to_owned(),
        description: "first line\nsecond line".to_owned(),
        history: History::All,
        expiry_s: Some(3600),
        ..Details::default()
    };
    let members = [("zoe", Role::Owner), ("bob", Role::Admin), ("ann", Role::ReadOnly)];
    let new = NewConversation {
        id: cid(1),
        kind: ConversationKind::Group,
        members: members.iter().map(|(name, role)| (user(name), *role)).collect(),
        details: details.clone(),
        time_ms: NOW + 3,
        founding: None,
    };
    let created = store.create(&new).await.unwrap();
    assert_eq!((&created.details, created.next_tag, created.active_ms), (&details, 4, NOW + 3));
    let seen: Vec<_> = created.members.iter().map(|m| (m.user.as_str(), m.role, m.tag)).collect();
    assert_eq!(
        seen,
        [("ann", Role::ReadOnly, 3), ("bob", Role::Admin, 2), ("zoe", Role::Owner, 1)]
    );
    assert_eq!(conversation(store, cid(1)).await, created);
    assert_eq!(store.create(&new).await.unwrap(), created);
    let [listed] = &store.conversations_of(&user("bob"), None, 9).await.unwrap()[..] else {
        panic!("one conversation")
    };
    assert_eq!(*listed, Conversation { members: Vec::new(), ..created });
}

/// A new role counts from its entry on, raises the version, and stands in the log.
pub async fn roles_change_and_count_at_once(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob", "carol"]).await;
    say(store, cid(1), "bob:d", 1).await;
    let ask = roles(&[("carol", Role::Admin), ("bob", Role::ReadOnly), ("alice", Role::Owner)]);
    let request = change(cid(1), Some("alice:d"), ask);
    let (entry, after) = store.change(&request).await.unwrap().unwrap();
    let expected = Change::Roles {
        group_version: 2,
        roles: vec![(user("bob"), Role::ReadOnly), (user("carol"), Role::Admin)],
    };
    assert_eq!(
        (entry.seq, entry.kind, entry.change()),
        (Seq(2), EntryKind::Membership, Some(expected))
    );
    assert_eq!(conversation(store, cid(1)).await, after);
    let fate = commit_one(store, send(cid(1), "bob:d", "a")).await;
    assert!(matches!(fate, Fate::Forbidden(why) if why.contains("read-only")), "{fate:?}");
    changed(store, cid(1), roles(&[("bob", Role::Member)])).await;
    assert_eq!(accepted(commit_one(store, send(cid(1), "bob:d", "a")).await).1, Seq(4));
    let refusal = refused(store, Some("carol:d"), roles(&[("alice", Role::Member)])).await;
    assert!(matches!(refusal, Refused::Forbidden(_)), "{refusal:?}");
    let refusal = refused(store, None, roles(&[("eve", Role::Member)])).await;
    assert_eq!(refusal, Refused::NoMember(user("eve")));
    assert_eq!(checked_log(store, cid(1)).await.len(), 4);
}

/// The ownership goes over in one entry, and there is always an owner.
pub async fn an_ownership_is_transferred_but_never_lost(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob", "carol"]).await;
    assert_eq!(refused(store, Some("alice:d"), remove(&["alice"])).await, Refused::LastOwner);
    assert_eq!(refused(store, None, roles(&[("alice", Role::Member)])).await, Refused::LastOwner);
    let transfer = |to: &str| Ask::Transfer { to: user(to) };
    let refusal = refused(store, Some("bob:d"), transfer("bob")).await;
    assert!(matches!(refusal, Refused::Forbidden(_)));
    let request = change(cid(1), Some("alice:d"), transfer("bob"));
    let (entry, after) = store.change(&request).await.unwrap().unwrap();
    let expected = Change::Roles {
        group_version: 2,
        roles: vec![(user("alice"), Role::Admin), (user("bob"), Role::Owner)],
    };
    assert_eq!((entry.change(), after.group_version), (Some(expected), 2));
    assert_eq!(conversation(store, cid(1)).await, after);
    // The same request again, though by now its actor may not.
    assert_eq!(store.change(&request).await.unwrap().unwrap(), (entry, after));
    changed(store, cid(1), remove(&["alice"])).await;
    changed(store, cid(1), remove(&["carol"])).await;
    // The last one out needs no heir.
    let (_, empty) = changed(store, cid(1), remove(&["bob"])).await;
    assert!(empty.members.is_empty());
    let refusal = store.change(&change(cid(1), Some("bob:d"), add(&["bob"]))).await.unwrap();
    assert_eq!(refusal.unwrap_err(), Refused::Unknown);
}

/// Two admins write the title, both of whom knew place 0: the later one by sequence wins, and the
/// entry names what it replaced. The stored text is the body's, to the character.
pub async fn the_later_title_wins_and_names_what_it_replaced(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let write = async |text: &str, based_on| {
        let (entry, after) = changed(store, cid(1), title(text, based_on)).await;
        assert_eq!(conversation(store, cid(1)).await, after);
        assert_eq!((after.details.title.as_str(), after.details.title_seq), (text, entry.seq));
        assert_eq!((after.details.changed_seq, after.group_version), (entry.seq, 1));
        assert_eq!(entry.kind, EntryKind::Details);
        match entry.change() {
            Some(Change::Details(change)) => (change.replaces, change.concurrent),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(write("Rome", Some(0)).await, (vec![], false));
    assert_eq!(write("Paris 'é' \\n", Some(0)).await, (vec![Seq(1)], true));
    assert_eq!(write("", Some(2)).await, (vec![Seq(2)], false));
    assert_eq!(write("Oslo", None).await, (vec![Seq(3)], false));
    let nothing = refused(store, Some("alice:d"), title("Oslo", Some(4))).await;
    assert!(matches!(nothing, Refused::Nothing(_)));
    let set = DetailsChange { description: Some("a\nb".to_owned()), ..DetailsChange::default() };
    let (entry, after) = changed(store, cid(1), Ask::Details { set, based_on: Some(Seq(0)) }).await;
    assert_eq!(entry.body, "description a\\nb", "another field has lost nothing");
    let details = after.details;
    assert_eq!((details.title.as_str(), details.title_seq), ("Oslo", Seq(4)));
    assert_eq!((details.description.as_str(), details.description_seq), ("a\nb", Seq(5)));
    let forbidden = refused(store, Some("bob:d"), title("mine", None)).await;
    assert!(matches!(forbidden, Refused::Forbidden(_)));
    assert!(matches!(refused(store, None, title("x", Some(99))).await, Refused::Malformed(_)));
    assert_eq!(checked_log(store, cid(1)).await.len(), 5);
}

/// Many titles at once: each entry is decided on what the one before left, so together they name
/// every title that was replaced, each once.
pub async fn concurrent_titles_are_merged_in_the_logs_order(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    let requests: Vec<_> = (0..8)
        .map(|i| change(cid(1), Some("alice:d"), title(&format!("title {i}"), Some(0))))
        .collect();
    let tasks: Vec<Task<'_, _>> = requests
        .iter()
        .map(|request| -> Task<'_, _> {
            Box::pin(async { store.change(request).await.unwrap().unwrap() })
        })
        .collect();
    join_all(tasks).await;
    let log = checked_log(store, cid(1)).await;
    for (i, entry) in log.iter().enumerate() {
        let Some(Change::Details(change)) = entry.change() else { panic!("{entry:?}") };
        let replaced: Vec<Seq> = (i > 0).then_some(Seq(i as u64)).into_iter().collect();
        assert_eq!((change.replaces, change.concurrent), (replaced, i > 0));
        if i + 1 == log.len() {
            assert_eq!(Some(conversation(store, cid(1)).await.details.title), change.title);
        }
    }
    assert_eq!(log.len(), 8);
}

/// A direct conversation has messages that disappear, and nothing else to set.
pub async fn a_direct_conversation_has_an_expiry_only(store: &dyn Store) {
    store.create(&direct(cid(1), "alice", "bob")).await.unwrap();
    assert!(matches!(
        refused(store, Some("alice:d"), title("x", None)).await,
        Refused::Malformed(_)
    ));
    assert_eq!(refused(store, Some("alice:d"), remove(&["alice"])).await, Refused::Direct);
    let expiry = |s| Ask::Details {
        set: DetailsChange { expiry_s: Some(s), ..DetailsChange::default() },
        based_on: None,
    };
    let request = change(cid(1), Some("bob:d"), expiry(60));
    let (_, after) = store.change(&request).await.unwrap().unwrap();
    assert_eq!(after.details.expiry_s, Some(60));
    say(store, cid(1), "bob:d", 1).await;
    let (_, after) = changed(store, cid(1), expiry(0)).await;
    assert_eq!((after.details.expiry_s, after.details.changed_seq), (None, Seq(3)));
    say(store, cid(1), "bob:d", 1).await;
    let log = checked_log(store, cid(1)).await;
    assert_eq!((log[1].expires_ms, log[3].expires_ms), (Some(NOW + 60_000), None));
}

/// What newcomers see is what the setting said when they came; others are not touched by it.
pub async fn newcomers_see_what_the_setting_says(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    say(store, cid(1), "alice:d", 2).await;
    changed(store, cid(1), add(&["bob"])).await;
    let set = |history| Ask::Details {
        set: DetailsChange { history: Some(history), ..DetailsChange::default() },
        based_on: None,
    };
    changed(store, cid(1), set(History::All)).await;
    changed(store, cid(1), add(&["carol"])).await;
    changed(store, cid(1), set(History::FromJoin)).await;
    changed(store, cid(1), add(&["dan"])).await;
    let now = conversation(store, cid(1)).await;
    let sees: Vec<_> =
        now.members.iter().map(|m| (m.user.as_str(), m.joined_seq.0, m.visible_seq.0)).collect();
    assert_eq!(sees, [("alice", 0, 0), ("bob", 2, 2), ("carol", 4, 0), ("dan", 6, 6)]);
}

/// Who comes back gets another tag, so a typing event of before names nobody.
pub async fn tags_are_never_given_twice(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    changed(store, cid(1), add(&["dan", "carol"])).await;
    changed(store, cid(1), remove(&["bob", "dan"])).await;
    let (entry, now) = changed(store, cid(1), add(&["bob", "eve"])).await;
    let tags: Vec<_> = now.members.iter().map(|m| (m.user.as_str(), m.tag)).collect();
    assert_eq!(tags, [("alice", 1), ("bob", 5), ("carol", 3), ("eve", 6)]);
    assert_eq!(now.next_tag, 7);
    assert!(matches!(entry.change(), Some(Change::Added { first_tag: 5, .. })));
    assert_eq!(conversation(store, cid(1)).await, now);
}

/// A stay begins where the join stands and ends with the entry that tells of it; two stays of one
/// user are two.
pub async fn stays_are_told_by_place(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    group(store, cid(2), &["zoe"]).await;
    say(store, cid(1), "alice:d", 2).await;
    changed(store, cid(1), remove(&["bob"])).await;
    changed(store, cid(1), add(&["carol", "bob"])).await;
    changed(store, cid(1), roles(&[("carol", Role::ReadOnly)])).await;
    changed(store, cid(1), remove(&["carol"])).await;
    let page = async |after: Option<(u64, &str)>, limit| -> Vec<Stay> {
        let after: Option<(Seq, UserId)> = after.map(|(seq, name)| (Seq(seq), user(name)));
        store.stays(cid(1), after, limit).await.unwrap()
    };
    let all = page(None, 100).await;
    let seen: Vec<_> = all
        .iter()
        .map(|Stay { member: m, left_seq }| {
            (m.user.as_str(), m.joined_seq.0, m.role, m.tag, left_seq.map(|s| s.0))
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("alice", 0, Role::Owner, 1, None),
            ("bob", 0, Role::Member, 2, Some(3)),
            ("bob", 3, Role::Member, 3, None),
            ("carol", 3, Role::ReadOnly, 4, Some(6)),
        ]
    );
    assert_eq!(page(None, 2).await, all[..2]);
    assert_eq!(page(Some((0, "bob")), 1).await, all[2..3]);
    assert_eq!(page(Some((3, "bob")), 9).await, all[3..]);
    assert!(page(Some((3, "carol")), 9).await.is_empty());
    assert!(store.stays(cid(9), None, 9).await.unwrap().is_empty());
}

/// Conversations that a user has left, the latest first, with who ended it; one that the user is back
/// in is left no more.
pub async fn what_was_left_is_listed_for_a_while(store: &dyn Store) {
    let at =
        |cid, ask, by: Option<&str>, time_ms| ChangeRequest { time_ms, ..change(cid, by, ask) };
    for n in 1..=4 {
        group(store, cid(n), &["alice", "bob"]).await;
    }
    changed(store, cid(1), title("Rome", None)).await;
    changed(store, cid(2), title("Paris", None)).await;
    for (n, by, time_ms) in [(1, "alice:d", 10), (2, "bob:d", 30), (3, "alice:d", 20)] {
        let gone = at(cid(n), remove(&["bob"]), Some(by), NOW + time_ms);
        store.change(&gone).await.unwrap().unwrap();
    }
    // What it is called now is nothing to who has left.
    changed(store, cid(2), title("London", None)).await;
    let told = async |since_ms: u64, limit: u32| -> Vec<(u8, String, u64, u64, String)> {
        let left = store.left(&user("bob"), since_ms, limit).await.unwrap();
        let shown = left.into_iter().map(|left| {
            let Left { conversation, title, left_seq, left_ms, by } = left;
            let n = (1..=9).find(|n| cid(*n) == conversation).unwrap();
            (n, title, left_seq.0, left_ms - NOW, by.to_string())
        });
        shown.collect()
    };
    let row = |n, title: &str, seq, ms, by: &str| (n, title.to_owned(), seq, ms, by.to_owned());
    let all =
        [row(2, "", 2, 30, "bob"), row(3, "", 1, 20, "alice"), row(1, "Rome", 2, 10, "alice")];
    assert_eq!(told(0, 9).await, all);
    assert_eq!(told(NOW + 10, 9).await, all[..2]);
    assert_eq!(told(0, 1).await, all[..1]);
    assert!(store.left(&user("alice"), 0, 9).await.unwrap().is_empty());
    // Back, and gone for good at another place.
    changed(store, cid(3), add(&["bob"])).await;
    assert_eq!(told(0, 9).await, [all[0].clone(), all[2].clone()]);
    let gone = at(cid(3), remove(&["bob"]), None, NOW + 40);
    store.change(&gone).await.unwrap().unwrap();
    let by = Identity::operator().user;
    assert_eq!(told(0, 9).await[0], row(3, "", 3, 40, by.as_str()));
    assert_eq!(told(0, 9).await.len(), 3);
}

/// Whoever names the state it has seen changes that one or none.
pub async fn a_stamp_must_be_the_conversations(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let try_with = async |stamp: Stamp, ask: Ask| {
        let request = ChangeRequest { stamp: Some(stamp), ..change(cid(1), None, ask) };
        store.change(&request).await.unwrap()
    };
    let first = conversation(store, cid(1)).await.stamp();
    // A message is no change of members or details.
    say(store, cid(1), "alice:d", 1).await;
    let (_, after) = try_with(first, title("Rome", None)).await.unwrap();
    assert_eq!(after.stamp(), Stamp { group_version: 1, details_seq: Seq(2) });
    for ask in [title("Paris", None), add(&["carol"]), remove(&["bob"])] {
        assert_eq!(try_with(first, ask).await.unwrap_err(), Refused::Stale(after.stamp()));
    }
    let (_, last) = try_with(after.stamp(), add(&["carol"])).await.unwrap();
    assert_eq!(last.stamp(), Stamp { group_version: 2, details_seq: Seq(2) });
    let stale = try_with(after.stamp(), title("Paris", None)).await.unwrap_err();
    assert_eq!(stale, Refused::Stale(last.stamp()));
    assert_eq!(checked_log(store, cid(1)).await.len(), 3);
}

/// A request's key is its actor's own: another's change with the same key is another.
pub async fn keys_of_changes_are_scoped_by_their_actor(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    changed(store, cid(1), Ask::Add { users: vec![user("ann")], role: Role::Admin }).await;
    let by_alice = change(cid(1), Some("alice:d"), add(&["bob"]));
    let (entry, _) = store.change(&by_alice).await.unwrap().unwrap();
    let by_ann = ChangeRequest {
        actor: Some("ann:d".parse().unwrap()),
        ask: add(&["carol"]),
        ..by_alice.clone()
    };
    let by_ann = ChangeRequest { message_id: super::support::fresh_id(), ..by_ann };
    let (other, _) = store.change(&by_ann).await.unwrap().unwrap();
    assert_eq!((entry.seq, other.seq), (Seq(2), Seq(3)));
    // A retry is told the first entry even when it could not be decided again.
    changed(store, cid(1), remove(&["ann"])).await;
    let (again, now) = store.change(&by_ann).await.unwrap().unwrap();
    assert_eq!(again, other);
    assert_eq!(now, conversation(store, cid(1)).await);
    assert_eq!(role_of(store, "alice").await, Role::Owner);
}

/// A send and a change of one device with the same key are two requests: neither is told the other's
/// result.
pub async fn a_send_and_a_change_may_have_the_same_key(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    let key = SendKey::Change(ClientMessageId::new("same").unwrap());
    let joins = ChangeRequest { key, ..change(cid(1), Some("alice:d"), add(&["bob"])) };
    let message = send(cid(1), "alice:d", "same");
    let (entry, _) = store.change(&joins).await.unwrap().unwrap();
    let (id, seq, duplicate) = accepted(commit_one(store, message.clone()).await);
    assert_eq!((entry.seq, id, seq, duplicate), (Seq(1), message.message_id, Seq(2), false));
    assert_eq!(store.change(&joins).await.unwrap().unwrap().0, entry);
    assert_eq!(accepted(commit_one(store, message).await), (id, seq, true));
    assert_eq!(checked_log(store, cid(1)).await.len(), 2);
}

/// More members than a conversation may have: nobody is added.
pub async fn a_full_conversation_takes_no_more(store: &dyn Store) {
    let id = |i: usize| user(&format!("u{i:05}"));
    let members = (0..MEMBERS_MAX - 1)
        .map(|i| (id(i), if i == 0 { Role::Owner } else { Role::Member }))
        .collect();
    let new = NewConversation {
        id: cid(1),
        kind: ConversationKind::Group,
        members,
        details: Details::default(),
        time_ms: NOW,
        founding: None,
    };
    assert_eq!(store.create(&new).await.unwrap().members.len(), MEMBERS_MAX - 1);
    let full = refused(store, None, add(&["x", "y"])).await;
    assert_eq!(full, Refused::Full { max: MEMBERS_MAX });
    let (_, now) = changed(store, cid(1), add(&["x"])).await;
    assert_eq!((now.members.len(), now.next_tag as usize), (MEMBERS_MAX, MEMBERS_MAX + 1));
    let many: Vec<UserId> = (0..1001).map(id).collect();
    let refusal = refused(store, None, Ask::Remove { users: many.clone() }).await;
    assert!(matches!(refusal, Refused::Malformed(_)), "{refusal:?}");
    let most = Ask::Remove { users: many[1..].to_vec() };
    assert_eq!(changed(store, cid(1), most).await.1.members.len(), MEMBERS_MAX - 1000);
}
