use super::*;
use crate::entry::ChainHash;
use crate::ids::DeviceId;
use crate::limits::EXPIRY_S_MAX;
use crate::membership::{Conversation, Details, Member};
use proptest::prelude::*;

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn member(name: &str, role: Role, tag: u32) -> Member {
    let (joined_seq, visible_seq) = (Seq::ZERO, Seq::ZERO);
    Member { user: user(name), role, joined_seq, visible_seq, tag, blocked: false }
}

fn group() -> Conversation {
    Conversation {
        id: ConversationId([7; 16]),
        kind: ConversationKind::Group,
        head_seq: Seq(4),
        head_chain: ChainHash::ZERO,
        group_version: 2,
        number: 3,
        active_seq: Seq(4),
        active_ms: 1,
        details: Details::default(),
        next_tag: 5,
        members: vec![
            member("adam", Role::Admin, 2),
            member("alice", Role::Owner, 1),
            member("bob", Role::Member, 3),
            member("rita", Role::ReadOnly, 4),
        ],
    }
}

fn ask(actor: Option<&str>, ask: Ask) -> ChangeRequest {
    ChangeRequest {
        conversation: ConversationId([7; 16]),
        actor: actor.map(|a| Identity { user: user(a), device: DeviceId::new("d").unwrap() }),
        ask,
        stamp: None,
        adding: None,
        key: SendKey::Server(MessageId([1; 16])),
        message_id: MessageId([1; 16]),
        time_ms: 9,
    }
}

fn users(names: &[&str]) -> Vec<UserId> {
    names.iter().map(|name| user(name)).collect()
}

fn add(names: &[&str]) -> Ask {
    Ask::Add { users: users(names), role: Role::Member }
}

fn remove(names: &[&str]) -> Ask {
    Ask::Remove { users: users(names) }
}

fn roles(roles: &[(&str, Role)]) -> Ask {
    Ask::Roles { roles: roles.iter().map(|(name, role)| (user(name), *role)).collect() }
}

fn transfer(to: &str) -> Ask {
    Ask::Transfer { to: user(to) }
}

fn title(text: &str, based_on: Option<u64>) -> Ask {
    let set = DetailsChange { title: Some(text.to_owned()), ..DetailsChange::default() };
    Ask::Details { set, based_on: based_on.map(Seq) }
}

#[test]
fn who_may_change_whom() {
    use Role::{Admin, Member, Owner, ReadOnly};
    let long: Vec<String> = (0..1001).map(|i| format!("u{i}")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    // Who asks what; `Ok`: the log's body, `Err`: a part of the refusal.
    let table: Vec<(Option<&str>, Ask, Result<&str, &str>)> = vec![
        (None, add(&["carol"]), Ok("added 3:5 carol")),
        (Some("alice"), add(&["dan", "carol", "dan", "bob"]), Ok("added 3:5 carol dan")),
        (Some("adam"), add(&["carol"]), Ok("added 3:5 carol")),
        (Some("bob"), add(&["carol"]), Err("only an owner or an admin")),
        (Some("alice"), add(&["bob"]), Err("nothing to change")),
        (Some("alice"), add(&[]), Err("no user is named")),
        (Some("alice"), add(&long), Err("1001 users are named")),
        (Some("adam"), Ask::Add { users: users(&["x"]), role: Admin }, Err("only an owner")),
        (Some("alice"), Ask::Add { users: users(&["x"]), role: Admin }, Ok("added 3:5:2 x")),
        (Some("alice"), Ask::Add { users: users(&["x"]), role: Owner }, Err("then transfer")),
        (Some("bob"), remove(&["alice"]), Err("anyone may leave")),
        (Some("bob"), remove(&["bob"]), Ok("removed 3 bob")),
        (Some("rita"), remove(&["rita"]), Ok("removed 3 rita")),
        (Some("adam"), remove(&["bob", "rita"]), Ok("removed 3 bob rita")),
        (Some("adam"), remove(&["adam", "bob"]), Ok("removed 3 adam bob")),
        (Some("adam"), remove(&["alice"]), Err("only an owner")),
        (Some("mallory"), remove(&["bob"]), Err("no such")),
        (Some("alice"), remove(&["alice"]), Err("transfer the ownership first")),
        (None, remove(&["alice"]), Err("transfer the ownership first")),
        (None, remove(&["adam", "alice", "bob", "rita"]), Ok("removed 3 adam alice bob rita")),
        (None, remove(&["carol"]), Err("nothing to change")),
        (Some("alice"), roles(&[("bob", Admin)]), Ok("roles 3 bob=2")),
        (Some("alice"), roles(&[("bob", Owner)]), Ok("roles 3 bob=1")),
        (Some("adam"), roles(&[("bob", ReadOnly), ("rita", Member)]), Ok("roles 3 bob=4 rita=3")),
        (Some("adam"), roles(&[("bob", Admin)]), Err("only an owner")),
        (Some("adam"), roles(&[("alice", Member)]), Err("only an owner")),
        (Some("bob"), roles(&[("rita", Member)]), Err("only an owner")),
        (Some("alice"), roles(&[("alice", Member)]), Err("the last owner")),
        (Some("alice"), roles(&[("carol", Member)]), Err("carol is no member")),
        (Some("alice"), roles(&[("bob", Member)]), Err("nothing to change")),
        (Some("alice"), roles(&[("bob", Admin), ("bob", Member)]), Err("named twice")),
        (Some("alice"), transfer("bob"), Ok("roles 3 alice=2 bob=1")),
        (None, transfer("bob"), Ok("roles 3 alice=2 bob=1")),
        (Some("adam"), transfer("bob"), Err("only an owner")),
        (Some("alice"), transfer("carol"), Err("carol is no member")),
        (Some("alice"), transfer("alice"), Err("nothing to change")),
        (Some("adam"), title("Trip", None), Ok("title Trip")),
        (Some("bob"), title("Trip", None), Err("only an owner or an admin")),
        (Some("alice"), title("", None), Err("nothing to change")),
        (Some("alice"), title("a\nb", None), Err("control characters")),
        (Some("alice"), title("   ", None), Err("title is blank")),
        (Some("alice"), title(&"x".repeat(129), None), Err("129 characters")),
        (Some("alice"), title("Trip", Some(5)), Err("beyond the head")),
    ];
    for (actor, asked, expected) in table {
        let request = ask(actor, asked);
        match (decide(&group(), &request), expected) {
            (Ok(change), Ok(body)) => {
                assert_eq!(change.to_body(), body.as_bytes());
                assert_eq!(Change::from_body(&change.to_body()), Some(change));
            }
            (Err(refused), Err(text)) => {
                assert!(refused.to_string().contains(text), "{request:?}: {refused}");
            }
            (got, expected) => panic!("{request:?}: {got:?}, not {expected:?}"),
        }
    }
    let direct = Conversation { kind: ConversationKind::Direct, ..group() };
    assert_eq!(decide(&direct, &ask(None, add(&["carol"]))), Err(Refused::Direct));
    assert!(decide(&direct, &ask(Some("alice"), title("x", None))).is_err());
    let set = DetailsChange { expiry_s: Some(60), ..DetailsChange::default() };
    let expiry = Ask::Details { set, based_on: None };
    assert!(decide(&direct, &ask(Some("bob"), expiry)).is_ok());
}

#[test]
fn messages_disappear_within_a_year() {
    for (expiry_s, taken) in [(EXPIRY_S_MAX, true), (EXPIRY_S_MAX + 1, false)] {
        let set = DetailsChange { expiry_s: Some(expiry_s), ..DetailsChange::default() };
        let expiry = ask(Some("alice"), Ask::Details { set, based_on: None });
        assert_eq!(decide(&group(), &expiry).is_ok(), taken, "{expiry_s}");
    }
}

#[test]
fn a_stamp_guards_against_what_was_not_seen() {
    let stale = Stamp { group_version: 1, details_seq: Seq::ZERO };
    let request = ChangeRequest { stamp: Some(stale), ..ask(Some("alice"), add(&["carol"])) };
    assert_eq!(decide(&group(), &request), Err(Refused::Stale(group().stamp())));
    let request = ChangeRequest { stamp: Some(group().stamp()), ..request };
    assert!(decide(&group(), &request).is_ok());
}

#[test]
fn a_change_moves_the_head_and_the_members() {
    let request = ask(None, add(&["carol", "aaron"]));
    let change = decide(&group(), &request).unwrap();
    let (entry, after) = apply(group(), &change, &request);
    assert_eq!((entry.seq, entry.chain), (after.head_seq, after.head_chain));
    assert_eq!((entry.seq, after.group_version, entry.number), (Seq(5), 3, 3));
    assert_eq!((after.active_seq, after.active_ms, after.next_tag), (Seq(5), 9, 7));
    assert_eq!(entry.change(), Some(change));
    assert_eq!(entry.sender, Identity::operator().user);
    let names: Vec<_> = after.members.iter().map(|m| m.user.as_str()).collect();
    assert_eq!(names, ["aaron", "adam", "alice", "bob", "carol", "rita"]);
    let carol = after.member(&user("carol")).unwrap();
    assert_eq!((carol.joined_seq, carol.visible_seq, carol.tag), (Seq(4), Seq(4), 6));

    let request = ask(Some("alice"), remove(&["bob"]));
    let change = decide(&after, &request).unwrap();
    let (entry, after) = apply(after, &change, &request);
    assert_eq!((entry.seq, entry.sender), (Seq(6), user("alice")));
    assert!(after.member(&user("bob")).is_none());

    let open = DetailsChange { history: Some(History::All), ..DetailsChange::default() };
    let request = ask(Some("alice"), Ask::Details { set: open, based_on: None });
    let (_, after) = apply(after.clone(), &decide(&after, &request).unwrap(), &request);
    let request = ask(Some("alice"), add(&["bob"]));
    let (_, after) = apply(after.clone(), &decide(&after, &request).unwrap(), &request);
    let bob = after.member(&user("bob")).unwrap();
    assert_eq!((bob.joined_seq, bob.visible_seq, bob.tag), (Seq(7), Seq::ZERO, 7));
}

/// Two admins at once: both see place 4. The later one by sequence wins, and the entry says that it
/// overwrote what its writer had not seen. Another field is not touched.
#[test]
fn the_last_writer_by_sequence_wins_and_the_loser_is_named() {
    let first = ask(Some("alice"), title("Rome", Some(4)));
    let (_, after) = apply(group(), &decide(&group(), &first).unwrap(), &first);
    let second = ask(Some("adam"), title("Paris", Some(4)));
    let change = decide(&after, &second).unwrap();
    assert_eq!(change.to_body(), "title Paris\nreplaces 5\nconcurrent");
    let (_, after) = apply(after, &change, &second);
    assert_eq!((after.details.title.as_str(), after.details.title_seq), ("Paris", Seq(6)));
    // Whoever has seen it overwrites knowingly.
    let third = ask(Some("alice"), title("Oslo", Some(6)));
    assert_eq!(decide(&after, &third).unwrap().to_body(), "title Oslo\nreplaces 6");
    let text = DetailsChange { description: Some("a\nb\\".into()), ..DetailsChange::default() };
    let other = ask(Some("adam"), Ask::Details { set: text, based_on: Some(Seq(4)) });
    assert_eq!(decide(&after, &other).unwrap().to_body(), "description a\\nb\\\\");
}

#[test]
fn bodies_of_the_first_version_are_read() {
    let added = Change::from_body(b"added 3 alice bob").unwrap();
    let expected = Change::Added {
        group_version: 3,
        users: users(&["alice", "bob"]),
        role: Role::Member,
        first_tag: 0,
    };
    assert_eq!(added, expected);
    for body in
        [&b""[..], b"added", b"added x", b"added 1 a/b", b"\xff", b"moved 1 a", b"title \\x"]
    {
        assert_eq!(Change::from_body(body), None);
    }
}

proptest! {
    #[test]
    fn details_come_back(title in "[^\\p{Cc}]{0,20}", description in "[^\\p{Cc}]{0,20}\n[^\\p{Cc}]{0,9}") {
        let change = Change::Details(DetailsChange {
            title: Some(title),
            description: Some(description),
            history: Some(History::All),
            expiry_s: Some(0),
            replaces: vec![Seq(1), Seq(7)],
            concurrent: true,
        });
        prop_assert_eq!(Change::from_body(&change.to_body()), Some(change));
    }
}

#[test]
fn nobody_is_added_of_whom_no_policy_was_asked() {
    let adds = |names: &[&str], vetted: &[&str], members_max| {
        let adding = Some(Adding { vetted: users(vetted), members_max });
        decide(&group(), &ChangeRequest { adding, ..ask(Some("alice"), add(names)) })
    };
    let added = |names: &[&str]| match adds(names, names, 6) {
        Ok(Change::Added { users, .. }) => users,
        other => panic!("{other:?}"),
    };
    assert_eq!(added(&["carol", "bob"]), users(&["carol"]));
    // All who would join are named, members are not.
    let unvetted = adds(&["dave", "carol", "bob"], &["carol"], 6);
    assert_eq!(unvetted, Err(Refused::Unvetted(users(&["carol", "dave"]))));
    // What is refused anyway is refused first.
    assert_eq!(adds(&["carol"], &[], 4), Err(Refused::Full { max: 4 }));
    assert!(matches!(adds(&["bob"], &[], 6), Err(Refused::Nothing(_))));
    let by_bob = ask(Some("bob"), add(&["carol"]));
    let adding = Some(Adding { vetted: Vec::new(), members_max: 6 });
    let refused = decide(&group(), &ChangeRequest { adding, ..by_bob });
    assert!(matches!(refused, Err(Refused::Forbidden(_))));
}
