//! How conversations begin: one for a pair, told to whoever is there; and what a key stands for.

use godwit_proto::conversation::v1::membership::Change;
use godwit_proto::conversation::v1::{EntryType, Role};
use godwit_proto::group::v1::group_request::Ask as GroupAsk;
use godwit_proto::group::v1::{Create, Get, GroupReply, GroupRequest};
use godwit_proto::inbox::v1::{Left, List, Shelf};
use godwit_proto::presence::v1::typing;
use godwit_testkit::chat::{self, Chat, about, cid_bytes, cid_text, message};
use godwit_testkit::server::Options;
use serde_json::{Value, json};

use super::side::Side;

in_both_versions!(
    two_users_have_one_direct_conversation,
    who_creates_at_once_is_told_the_same,
    a_creation_is_told_to_whoever_is_there,
    what_a_person_has_left_is_in_the_inbox,
    a_key_is_good_for_one_message,
    a_block_closes_a_direct_conversation,
);

in_both_versions!(with measured: strangers_are_asked_in_measure);
in_both_versions!(the_same_stranger_is_asked_only_so_often);
in_both_versions!(with hosted: some_may_make_large_groups);
in_both_versions!(with by_invitation: nobody_joins_a_group_without_an_own_yes);

fn measured() -> Options {
    Options::default()
        .with("GODWIT__POLICY__STRANGERS_PER_DAY", "3")
        .with("GODWIT__POLICY__GROUP_MEMBERS_MAX", "5")
}

fn by_invitation() -> Options {
    Options::default()
        .with("GODWIT__POLICY__ADD_TO_GROUPS", "invitation")
        .with("GODWIT__POLICY__GROUP_MEMBERS_MAX", "3")
}

/// Whoever is added is invited, and is a member by adding itself, in the name of who invited: for as
/// long as that one may.
async fn nobody_joins_a_group_without_an_own_yes(side: Side<'_>) {
    let (bob, carol, dave) = (side.id("b0"), side.id("b1"), side.id("b2"));
    let group = |members: &[String]| {
        GroupAsk::Create(Create { direct: false, members: members.to_vec(), details: None })
    };
    let add = |user: &str, role| godwit_testkit::chat::add(&[user], role);
    let mut alice = side.chat("alice", "phone").await;
    let cid = made(&alice.groups("", group(std::slice::from_ref(&bob))).await);
    assert_eq!(alice.look(&cid).await.member_count, 1, "bob was not asked");
    let waiting = side.rest("b0").await.get("/v1/invitations").await.expect(200);
    assert_eq!(waiting["invitations"][0]["conversation"], json!(cid));
    assert_eq!(waiting["invitations"][0]["by"], json!(alice.user));
    let mut bobs = side.chat("b0", "phone").await;
    let accepted = bobs.groups(&cid, add(&bob, Role::Member)).await;
    assert_eq!(accepted.code, 0, "{}", accepted.reason);
    assert!(accepted.seq > 0);
    // Asked again, for the answer may have been lost, it is so already; and nothing waits any more.
    let again = bobs.groups(&cid, add(&bob, Role::Member)).await;
    assert_eq!((again.code, again.seq), (0, 0), "{}", again.reason);
    let waiting = side.rest("b0").await.get("/v1/invitations").await.expect(200);
    assert_eq!(waiting["invitations"], json!([]));
    // Who was not invited, or by nobody who may, comes in by no word of one's own.
    let mut carols = side.chat("b1", "phone").await;
    assert_eq!(carols.groups(&cid, add(&carol, Role::Member)).await.code, 0x87);
    assert_ne!(bobs.groups(&cid, add(&carol, Role::Member)).await.code, 0, "no manager");
    assert_eq!(carols.groups(&cid, add(&carol, Role::Member)).await.code, 0x87);
    // An invitation is as good as who gave it: an admin's ends with the role.
    assert_eq!(alice.groups(&cid, role_of(&bob, Role::Admin)).await.code, 0);
    let invited = bobs.groups(&cid, add(&carol, Role::Member)).await;
    assert_eq!((invited.code, invited.seq), (0, 0), "{}", invited.reason);
    assert_eq!(alice.groups(&cid, role_of(&bob, Role::Member)).await.code, 0);
    assert_eq!(carols.groups(&cid, add(&carol, Role::Member)).await.code, 0x87);
    // Both are invited while there is room for one.
    for user in [&carol, &dave] {
        assert_eq!(alice.groups(&cid, add(user, Role::Member)).await.code, 0);
    }
    let mut daves = side.chat("b2", "phone").await;
    assert_eq!(carols.groups(&cid, add(&carol, Role::Member)).await.code, 0);
    let full = daves.groups(&cid, add(&dave, Role::Member)).await;
    assert_eq!(full.code, 0x99, "{}", full.reason);
    assert_eq!(alice.look(&cid).await.member_count, 3);
}

fn role_of(user: &str, role: Role) -> GroupAsk {
    godwit_testkit::chat::roles(&[(user, role)])
}

fn hosted() -> Options {
    Options::default()
        .with("GODWIT__POLICY__GROUP_MEMBERS_MAX", "3")
        .with("GODWIT__POLICY__LARGE_GROUP_USERS", "host3,host5")
}

/// Groups larger than people make are for those whom the operator names, and for nobody whom they add.
async fn some_may_make_large_groups(side: Side<'_>) {
    let ids = side.ids(&["b0", "b1", "b2", "b3", "b4"]);
    let group = |members: &[String]| {
        GroupAsk::Create(Create { direct: false, members: members.to_vec(), details: None })
    };
    let add = |id: &str| godwit_testkit::chat::add(&[id], Role::Admin);
    let mut alice = side.chat("alice", "phone").await;
    let refused = alice.groups("", group(&ids[..3])).await;
    assert_eq!(refused.code, 0x99, "{}", refused.reason);
    assert!(refused.reason.contains('3'), "{}", refused.reason);
    let mut host = side.chat("host", "phone").await;
    let cid = made(&host.groups("", group(&ids[..3])).await);
    assert_eq!(host.groups(&cid, add(&alice.user)).await.code, 0);
    // Who manages it may not fill it further, the host may.
    let as_member = godwit_testkit::chat::add(&[&ids[3]], Role::Member);
    assert_eq!(alice.groups(&cid, as_member).await.code, 0x99);
    assert_eq!(host.groups(&cid, add(&ids[3])).await.code, 0);
    assert_eq!(host.look(&cid).await.member_count, 6);
}

/// Nobody drags a crowd into groups; who has answered is no stranger, and operators are not bound.
async fn strangers_are_asked_in_measure(side: Side<'_>) {
    let ids = side.ids(&["b0", "b1", "b2", "b3", "b4", "b5", "b6"]);
    let group = |members: &[String]| {
        GroupAsk::Create(Create { direct: false, members: members.to_vec(), details: None })
    };
    let mut alice = side.chat("alice", "phone").await;
    let cid = made(&alice.groups("", group(&ids[..3])).await);
    // The same people again are no more people.
    made(&alice.groups("", group(&ids[..2])).await);
    let add = |id: &str| chat::add(&[id], Role::Member);
    assert_eq!(alice.groups(&cid, add(&ids[3])).await.code, 0x87);
    for ask in [direct(&ids[3]), group(&ids[3..4])] {
        let refused = alice.groups("", ask).await;
        assert_eq!((refused.code, refused.group), (0x87, None), "{}", refused.reason);
    }
    // Who speaks to her is no stranger.
    let mut known = side.chat("b0", "phone").await;
    let pair = made(&known.groups("", direct(&side.id("alice"))).await);
    known.say(&pair, "hello alice").await;
    assert_eq!(alice.groups(&cid, add(&ids[3])).await.code, 0);
    assert_eq!(alice.groups("", direct(&ids[4])).await.code, 0x87);
    // A group larger than people make is the operators'.
    let refused = alice.groups("", group(&ids[..6])).await;
    assert_eq!(refused.code, 0x99, "{}", refused.reason);
    let names = ["alice", "b0", "b1", "b2", "b3", "b4", "b5", "b6"];
    assert_eq!(alice.look(&side.group(&names).await).await.member_count, 8);
    let body = json!({ "kind": "group", "members": [ids[5]] });
    assert_eq!(
        side.rest("alice").await.post("/v1/conversations", &body).await.problem(403),
        "forbidden"
    );
}

/// Five times in a day, into whatever it is; then whoever does not answer is left alone.
async fn the_same_stranger_is_asked_only_so_often(side: Side<'_>) {
    let ids = side.ids(&["b0", "b1"]);
    let group = |members: &[String]| {
        GroupAsk::Create(Create { direct: false, members: members.to_vec(), details: None })
    };
    let mut alice = side.chat("alice", "phone").await;
    made(&alice.groups("", direct(&ids[0])).await);
    for _ in 0..99 {
        made(&alice.groups("", group(&ids[..1])).await);
    }
    let cid = made(&alice.groups("", group(&[])).await);
    let refused = [
        alice.groups("", group(&ids)).await,
        alice.groups(&cid, chat::add(&[&ids[0]], Role::Member)).await,
    ];
    for refused in refused {
        assert_eq!((refused.code, &refused.group), (0x87, &None), "{}", refused.reason);
    }
    // What there is already is told again, and others are asked.
    assert!(alice.groups("", direct(&ids[0])).await.existed);
    made(&alice.groups("", group(&ids[1..])).await);
    let mut known = side.chat("b0", "phone").await;
    let pair = made(&known.groups("", direct(&side.id("alice"))).await);
    known.say(&pair, "what is it?").await;
    for _ in 0..8 {
        made(&alice.groups("", group(&ids[..1])).await);
    }
}

fn direct(with: &str) -> GroupAsk {
    GroupAsk::Create(Create { direct: true, members: vec![with.to_owned()], details: None })
}

fn made(reply: &GroupReply) -> String {
    assert_eq!(reply.code, 0, "{reply:?}");
    cid_text(&reply.group.as_ref().expect("the conversation").conversation_id)
}

async fn two_users_have_one_direct_conversation(side: Side<'_>) {
    let (alice_id, bob_id) = (side.id("alice"), side.id("bob"));
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let peer = |peer: &str| GroupAsk::Get(Get { peer: peer.to_owned(), ..Get::default() });
    // World's own alice and bob have one already; these here are others.
    assert_eq!(alice.groups("", peer(&bob_id)).await.code, 0x87, "none yet");
    let first = alice.groups("", direct(&bob_id)).await;
    assert!(!first.existed);
    let cid = made(&first);
    for chat in [&mut alice, &mut bob] {
        let other = if chat.user == alice_id { &bob_id } else { &alice_id };
        let again = chat.groups("", direct(other)).await;
        assert_eq!((made(&again), again.existed), (cid.clone(), true));
        assert_eq!(made(&chat.groups("", peer(other)).await), cid);
    }
    let body = json!({ "kind": "direct", "members": [alice_id] });
    let rest = side.rest("bob").await;
    assert_eq!(rest.post("/v1/conversations", &body).await.expect(200)["id"], json!(cid));
    let body = json!({ "kind": "direct", "members": [bob_id, alice_id] });
    assert_eq!(
        side.operator().post("/v1/conversations", &body).await.expect(200)["id"],
        json!(cid)
    );
    let found = rest.get(&format!("/v1/conversations?peer={alice_id}")).await.expect(200);
    assert_eq!(found["conversations"][0]["id"], json!(cid));
    assert_eq!(found["conversations"].as_array().map(Vec::len), Some(1));
    let none = rest.get("/v1/conversations?peer=nobody").await.expect(200);
    assert_eq!(none["conversations"], json!([]));
    // Notes to oneself are a conversation of their own, and there is one of them.
    let notes = made(&bob.groups("", direct(&bob_id)).await);
    assert_ne!(notes, cid);
    let body = json!({ "kind": "direct", "members": [bob_id] });
    assert_eq!(rest.post("/v1/conversations", &body).await.expect(200)["id"], json!(notes));
    bob.say(&notes, "milk").await;
    assert_eq!(bob.item(&notes).await.members, 1);
}

async fn who_creates_at_once_is_told_the_same(side: Side<'_>) {
    let mut phones: Vec<Chat> = Vec::new();
    for name in ["ann", "ben"] {
        for device in ["a", "b"] {
            phones.push(side.chat(name, device).await);
        }
    }
    let (ann, ben) = (side.id("ann"), side.id("ben"));
    let mut asked = Vec::new();
    for chat in &mut phones {
        let other = if chat.user == ann { &ben } else { &ann };
        asked.push(chat.groups("", direct(other)));
    }
    let [a, b, c, d]: [_; 4] = asked.try_into().unwrap_or_else(|_| panic!("four"));
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    let all = [made(&a), made(&b), made(&c), made(&d)];
    assert!(all.iter().all(|id| *id == all[0]), "{all:?}");
    assert_eq!([a, b, c, d].iter().filter(|reply| !reply.existed).count(), 1);
}

async fn a_creation_is_told_to_whoever_is_there(side: Side<'_>) {
    let mut alice = side.chat("alice", "phone").await;
    let mut laptop = side.chat("alice", "laptop").await;
    let mut bob = side.chat("bob", "phone").await;
    let (away, _) = side.kept("carol", "phone").await;
    away.disconnect().await;
    let ids = side.ids(&["alice", "bob", "carol"]);
    let details = godwit_proto::conversation::v1::Details {
        title: Some("us".to_owned()),
        ..Default::default()
    };
    let cid = alice.create(&[&ids[1], &ids[2]], Some(details)).await;
    let (mut carol, present) = side.kept("carol", "phone").await;
    assert!(present);
    for chat in [&mut bob, &mut laptop, &mut carol] {
        let first = chat.entry_of(&cid, EntryType::Membership).await;
        assert_eq!((first.seq, first.number, &first.sender), (1, 0, &ids[0]));
        let told = first.membership.expect("what became of the members");
        assert_eq!(
            (told.change(), told.users.clone(), told.member_count),
            (Change::Created, ids.clone(), 3)
        );
        let roles: Vec<Role> = told.roles.iter().map(|role| role.role()).collect();
        assert_eq!(roles, [Role::Owner, Role::Member, Role::Member]);
        assert_eq!((told.group_version, told.first_tag, told.direct), (1, 1, false));
        assert_eq!(first.details.and_then(|d| d.title).as_deref(), Some("us"));
    }
    // It is nothing that has to be read, and the first word comes behind it.
    let item = bob.item(&cid).await;
    assert_eq!((item.unread, item.head_seq), (0, 1));
    assert_eq!(bob.say(&cid, "hello").await, 2);
    assert_eq!(alice.hears(&cid, "hello").await, 2);
}

/// For a while, with who ended it and where, by MQTT and by REST; it is no conversation of theirs.
async fn what_a_person_has_left_is_in_the_inbox(side: Side<'_>) {
    let ids = side.ids(&["alice", "bob"]);
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let titled = godwit_proto::conversation::v1::Details {
        title: Some("us".to_owned()),
        ..Default::default()
    };
    let removed = alice.create(&[&ids[1]], Some(titled)).await;
    let left = alice.create(&[&ids[1]], None).await;
    let (_, removed_seq) = alice.changed(&removed, chat::remove(&[&ids[1]])).await;
    let reply = bob.groups(&left, chat::remove(&[&ids[1]])).await;
    assert_eq!(reply.code, 0, "{reply:?}");
    let shown = |all: &[Left]| -> Vec<(String, String, u64, String)> {
        let shown = all.iter().map(|left| {
            assert!(left.left_ms > 1_700_000_000_000, "{left:?}");
            let id = cid_text(&left.conversation_id);
            (id, left.title.clone(), left.left_seq, left.by.clone())
        });
        shown.collect()
    };
    let first = (removed.clone(), "us".to_owned(), removed_seq, ids[0].clone());
    let second = (left.clone(), String::new(), reply.seq, ids[1].clone());
    let page = bob.inbox_page(List::default()).await;
    assert!(page.items.is_empty(), "{page:?}");
    let mut found = shown(&page.left);
    // Both may have ended in the same millisecond.
    found.sort_by_key(|row| row.0 == left);
    assert_eq!(found, [first, second.clone()]);
    assert_eq!(alice.inbox_page(List::default()).await.left, []);
    let archived = List { shelf: Shelf::Archived as i32, ..List::default() };
    assert_eq!(bob.inbox_page(archived).await.left, []);
    let rest = side.rest("bob").await;
    let page = rest.get("/v1/inbox").await.expect(200);
    let row = page["left"].as_array().and_then(|all| all.iter().find(|row| row["id"] == left));
    let row = row.unwrap_or_else(|| panic!("{page}"));
    assert_eq!((&row["left_seq"], &row["by"]), (&json!(reply.seq), &json!(ids[1])));
    // Back in, it is an item again.
    alice.changed(&removed, chat::add(&[&ids[1]], Role::Member)).await;
    let page = bob.inbox_page(List::default()).await;
    assert_eq!((page.items.len(), shown(&page.left)), (1, vec![second]));
}

async fn a_key_is_good_for_one_message(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    let mut alice = side.chat("alice", "phone").await;
    let keyed = |body: &str| {
        let mut send = message(body);
        send.cmid = "k1".to_owned();
        send
    };
    let first = alice.send(&cid, keyed("one")).await;
    let again = alice.send(&cid, keyed("one")).await;
    assert_eq!((again.seq, again.duplicate), (first.seq, true));
    for _ in 0..2 {
        let other = alice.send(&cid, keyed("two")).await;
        assert_eq!((other.code, other.seq, other.duplicate), (0x99, 0, false), "{other:?}");
        assert!(other.reason.contains("used for another message"), "{other:?}");
    }
    let mut react = about(EntryType::Reaction, first.seq, "one");
    react.cmid = "k1".to_owned();
    assert_eq!(alice.send(&cid, react).await.code, 0x99);
    // Changes and creations are held to theirs likewise.
    let ask = |key: &str, conversation: &str, ask: GroupAsk| GroupRequest {
        cmid: key.to_owned(),
        conversation_id: if conversation.is_empty() { Vec::new() } else { cid_bytes(conversation) }
            .into(),
        ask: Some(ask),
        ..GroupRequest::default()
    };
    let group = |title: &str| {
        let details = godwit_proto::conversation::v1::Details {
            title: Some(title.to_owned()),
            ..Default::default()
        };
        GroupAsk::Create(Create { details: Some(details), ..Create::default() })
    };
    let own = made(&alice.ask(ask("g", "", group("a"))).await);
    assert_eq!(made(&alice.ask(ask("g", "", group("a"))).await), own);
    assert_eq!(alice.ask(ask("g", "", group("b"))).await.code, 0x99);
    let carol = [side.id("carol")];
    let add = |name: &str| chat::add(&[name], Role::Member);
    let added = alice.ask(ask("c", &own, add(&carol[0]))).await;
    assert_eq!(alice.ask(ask("c", &own, add(&carol[0]))).await.seq, added.seq);
    assert_eq!(alice.ask(ask("c", &own, add(&side.id("dan")))).await.code, 0x99);
    let log = side.operator().get(&format!("/v1/conversations/{cid}/messages")).await.expect(200);
    let texts: Vec<&Value> =
        log["messages"].as_array().expect("a log").iter().filter_map(|m| m.get("text")).collect();
    assert_eq!(texts, [&json!("one")]);
}

async fn a_block_closes_a_direct_conversation(side: Side<'_>) {
    let cid = side.direct("alice", "mallory").await;
    let mut alice = side.chat("alice", "phone").await;
    let mut mallory = side.chat("mallory", "phone").await;
    let own = mallory.say(&cid, "mine").await;
    alice.hears(&cid, "mine").await;
    alice.read(&cid, own).await;
    mallory.receipt(&cid, &side.id("alice"), |r| r.read == own).await;
    let rest = side.rest("alice").await;
    rest.put(&format!("/v1/blocks/{}", side.id("mallory")), &Value::Null).await.expect(204);
    // No act of any kind, by either way; and no word says why.
    let acts = [
        message("why?"),
        about(EntryType::Edit, own, "x"),
        about(EntryType::Deletion, own, ""),
        about(EntryType::Reaction, own, "x"),
        about(EntryType::Pin, own, ""),
        about(EntryType::Unpin, own, ""),
    ];
    for act in acts {
        let fate = mallory.send(&cid, act).await;
        assert_eq!((fate.code, fate.seq), (0x87, 0), "{fate:?}");
        assert!(!fate.reason.contains("block"), "{fate:?}");
    }
    let timer = godwit_proto::conversation::v1::Details { expiry_s: Some(1), ..Default::default() };
    let reply = mallory.groups(&cid, chat::details(timer, None)).await;
    assert_eq!(reply.code, 0x87, "{reply:?}");
    assert!(!reply.reason.contains("block"), "{reply:?}");
    let path = format!("/v1/conversations/{cid}");
    let refused = side.rest("mallory").await.patch(&path, &json!({ "expiry_s": 1 })).await;
    assert_eq!(refused.problem(403), "forbidden");
    assert!(!refused.text.contains("block"), "{refused:?}");
    // What there is already they keep; a group with alice, mallory does not get.
    assert_eq!(made(&mallory.groups("", direct(&side.id("alice"))).await), cid);
    let dragged = Create { members: vec![side.id("alice")], ..Create::default() };
    let dragged = mallory.groups("", GroupAsk::Create(dragged)).await;
    assert_eq!(dragged.code, 0x87);
    assert!(!dragged.reason.contains("block"), "{dragged:?}");
    // alice writes; neither hears how far the other has got, nor that the other types.
    let last = alice.say(&cid, "leave me alone").await;
    mallory.hears(&cid, "leave me alone").await;
    mallory.read(&cid, last).await;
    alice.read(&cid, last).await;
    alice.types(&cid, typing::State::Start).await;
    mallory.types(&cid, typing::State::Start).await;
    alice.probe.fence().await;
    mallory.probe.fence().await;
    let after = alice.say(&cid, "marker").await;
    mallory.hears(&cid, "marker").await;
    let place = |chat: &Chat, other: &str, group: &godwit_proto::group::v1::Group| {
        let member = group.members.iter().find(|m| m.user == *other).expect("a member");
        assert_eq!((member.delivered, member.read), (0, 0), "{} sees {other}", chat.user);
    };
    let seen = mallory.look(&cid).await;
    place(&mallory, &side.id("alice"), &seen);
    let seen = alice.look(&cid).await;
    place(&alice, &side.id("mallory"), &seen);
    let receipts = format!("/v1/conversations/{cid}/receipts");
    let told = side.rest("mallory").await.get(&receipts).await.expect(200);
    assert_eq!(told["receipts"].as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(mallory.left("t/"), Vec::<String>::new());
    assert_eq!(alice.left("t/"), Vec::<String>::new());
    // Taken back, it is as before.
    rest.delete(&format!("/v1/blocks/{}", side.id("mallory"))).await.expect(204);
    mallory.read(&cid, after).await;
    alice.receipt(&cid, &side.id("mallory"), |r| r.read == after).await;
}
