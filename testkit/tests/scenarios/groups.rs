//! Groups: made, joined, left, ruled; who may what, and what each may see.

use godwit_proto::conversation::v1::membership::Change;
use godwit_proto::conversation::v1::{Details, EntryType, History, Membership, Role};
use godwit_proto::group::v1::group_request::Ask as GroupAsk;
use godwit_proto::group::v1::{Create, Group, GroupRequest, Member};
use godwit_proto::sync::v1::{HistoryReply, HistoryRequest};
use godwit_testkit::chat::{self, Chat, add, cid_bytes, cid_text, remove, roles};

use super::side::Side;

in_both_versions!(
    a_group_is_made_by_its_owner,
    members_come_and_go_and_the_log_tells,
    roles_say_who_may_what,
    there_is_always_an_owner,
    a_newcomer_sees_from_the_join_on_or_all,
    changes_raise_the_version_that_guards_sends,
    what_cannot_be_is_refused_whole,
);

const FORBIDDEN: u32 = 0x87;
const MALFORMED: u32 = 0x99;

pub(crate) fn member<'a>(group: &'a Group, user: &str) -> &'a Member {
    let found = group.members.iter().find(|member| member.user == user);
    found.unwrap_or_else(|| panic!("{user} in {group:?}"))
}

fn users(group: &Group) -> Vec<&str> {
    group.members.iter().map(|member| member.user.as_str()).collect()
}

async fn membership(chat: &mut Chat, cid: &str) -> (u64, Membership) {
    let entry = chat.entry_of(cid, EntryType::Membership).await;
    (entry.seq, entry.membership.expect("what changed"))
}

async fn a_group_is_made_by_its_owner(side: Side<'_>) {
    let (alice, bob, carol) = (side.id("alice"), side.id("bob"), side.id("carol"));
    let mut owner = side.chat("alice", "phone").await;
    let mut other = side.chat("bob", "phone").await;
    let details = Details {
        title: Some("Trip".to_owned()),
        description: Some("who brings what".to_owned()),
        expiry_s: Some(3600),
        ..Details::default()
    };
    let create =
        Create { direct: false, members: vec![bob.clone(), carol.clone()], details: Some(details) };
    let request = GroupRequest {
        cmid: "once".to_owned(),
        ask: Some(GroupAsk::Create(create)),
        ..GroupRequest::default()
    };
    let made = owner.ask(request.clone()).await;
    assert_eq!((made.code, made.seq), (0, 0), "{made:?}");
    let group = made.group.expect("the group");
    let cid = cid_text(&group.conversation_id);
    assert_eq!((group.direct, group.head_seq, group.group_version), (false, 1, 1));
    assert_eq!((group.title.as_str(), group.description.as_str()), ("Trip", "who brings what"));
    assert_eq!((group.history(), group.expiry_s), (History::FromJoin, 3600));
    assert_eq!(users(&group), [&alice, &bob, &carol]);
    assert_eq!(member(&group, &alice).role(), Role::Owner);
    assert_eq!(member(&group, &bob).role(), Role::Member);
    let mut tags: Vec<u32> = group.members.iter().map(|member| member.tag).collect();
    tags.sort_unstable();
    assert_eq!(tags, [1, 2, 3]);
    // Asked again with the same key it is the same group, not a second one.
    let again = owner.ask(request).await.group.expect("the group");
    assert_eq!(cid_text(&again.conversation_id), cid);
    // Whoever was online when it was made hears of it, and the first word.
    assert_eq!(other.entry_of(&cid, EntryType::Membership).await.seq, 1);
    assert_eq!(owner.say(&cid, "hello").await, 2);
    assert_eq!(other.hears(&cid, "hello").await, 2);
    let mut stranger = side.chat("mallory", "phone").await;
    let get = GroupAsk::Get(godwit_proto::group::v1::Get::default());
    assert_eq!(stranger.groups(&cid, get).await.code, FORBIDDEN);

    // A direct conversation is between two, or with oneself.
    let direct = |members: &[&String]| {
        let members = members.iter().map(|user| (*user).clone()).collect();
        GroupAsk::Create(Create { direct: true, members, details: None })
    };
    let pair = owner.groups("", direct(&[&bob])).await.group.expect("a conversation");
    assert_eq!((pair.direct, users(&pair)), (true, vec![alice.as_str(), &bob]));
    let refused = owner.groups("", direct(&[&bob, &carol])).await;
    assert_eq!(refused.code, MALFORMED, "{refused:?}");
    assert!(!refused.reason.is_empty() && refused.group.is_none());
}

async fn members_come_and_go_and_the_log_tells(side: Side<'_>) {
    let (alice, carol) = (side.id("alice"), side.id("carol"));
    let cid = side.group(&["alice", "bob"]).await;
    let mut owner = side.chat("alice", "phone").await;
    let mut laptop = side.chat("alice", "laptop").await;
    let mut newcomer = side.chat("carol", "phone").await;
    owner.say(&cid, "before carol").await;
    let (group, seq) = owner.changed(&cid, add(&[&carol], Role::Unspecified)).await;
    assert_eq!((seq, group.head_seq, group.group_version), (3, 3, 2));
    let joined = member(&group, &carol);
    assert_eq!((joined.role(), joined.tag, joined.joined_seq), (Role::Member, 3, 2));
    // The asking user's other device and the newcomer read it in the log; the asking one is told by
    // its reply.
    assert_eq!(laptop.hears(&cid, "before carol").await, 2);
    for hearer in [&mut laptop, &mut newcomer] {
        let (seq, told) = membership(hearer, &cid).await;
        assert_eq!((seq, told.change(), told.group_version), (3, Change::Added, 2));
        assert_eq!((told.users, told.role, told.first_tag), (vec![carol.clone()], 3, 3));
    }
    owner.say(&cid, "hello carol").await;
    assert_eq!(newcomer.hears(&cid, "hello carol").await, 4);

    // carol leaves by herself: the last that she gets is the word that it is over.
    let reply = newcomer.groups(&cid, remove(&[&carol])).await;
    assert_eq!((reply.code, reply.seq), (0, 5), "{reply:?}");
    let told = newcomer.control().await;
    assert_eq!((told.kind, told.conversation_id), (1, cid_bytes(&cid).into()));
    owner.say(&cid, "after carol").await;
    laptop.hears(&cid, "hello carol").await;
    let (_, told) = membership(&mut laptop, &cid).await;
    assert_eq!(
        (told.change(), &told.users, told.group_version),
        (Change::Removed, &vec![carol.clone()], 3)
    );
    laptop.hears(&cid, "after carol").await;
    assert_eq!(newcomer.send(&cid, chat::message("still here?")).await.code, FORBIDDEN);
    assert_eq!(history(&mut newcomer, &cid).await.code, FORBIDDEN);
    newcomer.probe.fence().await;
    assert_eq!(newcomer.left("m/"), Vec::<String>::new(), "nothing after leaving");

    // She may come back, under another tag, and sees nothing of what was meanwhile.
    let (group, _) = owner.changed(&cid, add(&[&carol], Role::ReadOnly)).await;
    assert_eq!(member(&group, &carol).tag, 4, "a tag is never given twice");
    let page = history(&mut newcomer, &cid).await;
    assert_eq!((page.code, page.visible_seq), (0, 6), "{page:?}");
    assert_eq!(page.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [7]);
    assert_eq!(member(&owner.look(&cid).await, &alice).role(), Role::Owner);
}

async fn history(chat: &mut Chat, cid: &str) -> HistoryReply {
    let conversation_id = cid_bytes(cid).into();
    chat.ask(HistoryRequest { conversation_id, ..HistoryRequest::default() }).await
}

async fn roles_say_who_may_what(side: Side<'_>) {
    let cid = side.group(&["olga", "adam", "mia", "rita"]).await;
    let (olga, adam, mia) = (side.id("olga"), side.id("adam"), side.id("mia"));
    let (rita, eve) = (side.id("rita"), side.id("eve"));
    let mut owner = side.chat("olga", "phone").await;
    let named = roles(&[(&adam, Role::Admin), (&rita, Role::ReadOnly)]);
    let (group, seq) = owner.changed(&cid, named).await;
    assert_eq!((seq, group.group_version), (2, 2));
    let mut admin = side.chat("adam", "phone").await;
    let mut plain = side.chat("mia", "phone").await;
    let mut reader = side.chat("rita", "phone").await;

    // Reading, and nothing else.
    owner.say(&cid, "for all").await;
    reader.hears(&cid, "for all").await;
    let refused = reader.send(&cid, chat::message("me too")).await;
    assert_eq!(refused.code, FORBIDDEN);
    assert!(refused.reason.contains("read-only"), "{refused:?}");
    let reaction = chat::about(EntryType::Reaction, 3, "+1");
    assert_eq!(reader.send(&cid, reaction).await.code, FORBIDDEN);

    let title = |text: &str| {
        let details = Details { title: Some(text.to_owned()), ..Details::default() };
        chat::details(details, None)
    };
    assert_eq!(reader.groups(&cid, add(&[&eve], Role::Member)).await.code, FORBIDDEN);
    for (what, ask) in [
        ("adds", add(&[&eve], Role::Member)),
        ("removes", remove(&[&rita])),
        ("names an admin", roles(&[(&mia, Role::Admin)])),
        ("renames", title("Mine")),
        ("transfers", GroupAsk::Transfer(mia.clone())),
    ] {
        let reply = plain.groups(&cid, ask).await;
        assert_eq!((reply.code, reply.seq), (FORBIDDEN, 0), "a member {what}: {reply:?}");
    }
    for (what, ask) in [
        ("removes the owner", remove(&[&olga])),
        ("names an admin", roles(&[(&mia, Role::Admin)])),
        ("unmakes the owner", roles(&[(&olga, Role::Member)])),
        ("adds an admin", add(&[&eve], Role::Admin)),
        ("transfers", GroupAsk::Transfer(adam.clone())),
    ] {
        let reply = admin.groups(&cid, ask).await;
        assert_eq!((reply.code, reply.seq), (FORBIDDEN, 0), "an admin {what}: {reply:?}");
    }
    // What an admin may: members and readers, and the details.
    admin.changed(&cid, roles(&[(&rita, Role::Member), (&mia, Role::ReadOnly)])).await;
    reader.say(&cid, "now I may").await;
    assert_eq!(plain.send(&cid, chat::message("now I may not")).await.code, FORBIDDEN);
    admin.changed(&cid, add(&[&eve], Role::Member)).await;
    admin.changed(&cid, remove(&[&eve])).await;
    let (group, _) = admin.changed(&cid, title("Ours")).await;
    assert_eq!((group.title.as_str(), group.group_version), ("Ours", 5));
    assert_eq!(users(&group), [&adam, &mia, &olga, &rita]);
}

async fn there_is_always_an_owner(side: Side<'_>) {
    let cid = side.group(&["olga", "bob"]).await;
    let (olga, bob) = (side.id("olga"), side.id("bob"));
    let mut owner = side.chat("olga", "phone").await;
    let mut heir = side.chat("bob", "phone").await;
    for ask in [remove(&[&olga]), roles(&[(&olga, Role::Admin)])] {
        let refused = owner.groups(&cid, ask).await;
        assert_eq!(refused.code, MALFORMED, "{refused:?}");
        assert!(refused.reason.contains("transfer"), "the way out: {refused:?}");
    }
    let (group, seq) = owner.changed(&cid, GroupAsk::Transfer(bob.clone())).await;
    assert_eq!((seq, group.group_version), (2, 2));
    assert_eq!(member(&group, &olga).role(), Role::Admin);
    assert_eq!(member(&group, &bob).role(), Role::Owner);
    let (_, told) = membership(&mut heir, &cid).await;
    assert_eq!((told.change(), told.roles.len()), (Change::Roles, 2));
    // Now she may go; and the last one out needs no heir.
    assert_eq!(owner.groups(&cid, remove(&[&olga])).await.code, 0);
    assert_eq!(heir.groups(&cid, remove(&[&bob])).await.code, 0);
    let reply = heir.groups(&cid, GroupAsk::Get(Default::default())).await;
    assert_eq!(reply.code, FORBIDDEN, "nobody's any more");
}

async fn a_newcomer_sees_from_the_join_on_or_all(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    let (carol, dave) = (side.id("carol"), side.id("dave"));
    let mut owner = side.chat("alice", "phone").await;
    owner.say(&cid, "one").await;
    owner.say(&cid, "two").await;
    let mut early = side.chat("carol", "phone").await;
    let mut late = side.chat("dave", "phone").await;
    owner.changed(&cid, add(&[&carol], Role::Member)).await;
    let open = Details { history: History::All as i32, ..Details::default() };
    owner.changed(&cid, chat::details(open, None)).await;
    owner.changed(&cid, add(&[&dave], Role::Member)).await;
    // carol joined under the setting of her time; dave under the new one.
    let page = history(&mut early, &cid).await;
    assert_eq!(page.visible_seq, 3);
    assert_eq!(page.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [4, 5, 6]);
    let page = history(&mut late, &cid).await;
    assert_eq!((page.visible_seq, page.head_seq), (0, 6));
    assert_eq!(page.entries.len(), 6);
    assert_eq!(page.entries[1].body.as_ref(), b"one");
    // What a newcomer may look up is not pushed, and does not count as unread.
    assert_eq!(membership(&mut late, &cid).await.0, 6);
    assert_eq!(late.item(&cid).await.unread, 0);
    // A message from before may be answered by whoever sees it, and by nobody else.
    let mut answer = chat::about(EntryType::Reaction, 2, "+1");
    assert_eq!(early.send(&cid, answer.clone()).await.code, MALFORMED);
    answer.cmid.clear();
    assert_eq!(late.send(&cid, answer).await.code, 0);
}

async fn changes_raise_the_version_that_guards_sends(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    let (bob, carol) = (side.id("bob"), side.id("carol"));
    let mut owner = side.chat("alice", "phone").await;
    let guarded = |version: u64| {
        let mut send = chat::message("who is here?");
        send.group_version = Some(version);
        send
    };
    owner.accepted(&cid, guarded(1)).await;
    let title = Details { title: Some("x".to_owned()), ..Details::default() };
    let changes = [
        (add(&[&carol], Role::Member), 2),
        (roles(&[(&bob, Role::ReadOnly)]), 3),
        (chat::details(title, None), 3),
        (remove(&[&carol]), 4),
    ];
    for (change, version) in changes {
        let (group, _) = owner.changed(&cid, change).await;
        assert_eq!(group.group_version, version);
        let stale = owner.send(&cid, guarded(1)).await;
        assert_eq!((stale.code, stale.group_version, stale.seq), (0x83, version, 0), "{stale:?}");
        owner.accepted(&cid, guarded(version)).await;
    }
    // A send that names none is held against the members of its own moment.
    owner.say(&cid, "whoever is here").await;
}

async fn what_cannot_be_is_refused_whole(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    let (alice, bob, eve) = (side.id("alice"), side.id("bob"), side.id("eve"));
    let mut owner = side.chat("alice", "phone").await;
    let crowd: Vec<String> = (0..100_000).map(|n| format!("u{n}")).collect();
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
    let many: Vec<&str> = crowd[..1001].to_vec();
    let nobody = Vec::new();
    let table = [
        ("100,000 members at once", add(&crowd, Role::Member), MALFORMED),
        ("1,001 members at once", add(&many, Role::Member), MALFORMED),
        ("nobody", add(&nobody, Role::Member), MALFORMED),
        ("no user id", add(&["a/b"], Role::Member), MALFORMED),
        ("a good and a bad one", add(&[&eve, "#"], Role::Member), MALFORMED),
        ("a second owner", add(&[&eve], Role::Owner), MALFORMED),
        ("a role for a stranger", roles(&[(&bob, Role::Admin), (&eve, Role::Admin)]), MALFORMED),
        ("two roles for one", roles(&[(&bob, Role::Admin), (&bob, Role::Member)]), MALFORMED),
        ("a transfer to a stranger", GroupAsk::Transfer(eve.clone()), MALFORMED),
        ("a transfer to oneself", GroupAsk::Transfer(alice.clone()), MALFORMED),
        ("who is in already", add(&[&bob], Role::Member), MALFORMED),
        ("who is out already", remove(&[&eve]), MALFORMED),
    ];
    for (what, ask, code) in table {
        let reply = owner.groups(&cid, ask).await;
        assert_eq!((reply.code, reply.seq), (code, 0), "{what}: {} {reply:?}", reply.reason);
        assert!(!reply.reason.is_empty(), "{what}");
    }
    let empty = GroupRequest { conversation_id: cid_bytes(&cid).into(), ..GroupRequest::default() };
    assert_eq!(owner.ask(empty).await.code, MALFORMED, "nothing asked");
    let group = owner.look(&cid).await;
    assert_eq!((group.head_seq, group.group_version), (1, 1), "nothing was done");
    assert_eq!(users(&group), [&alice, &bob]);

    // A direct conversation keeps its two.
    let pair = side.direct("alice", "bob").await;
    for ask in [add(&[&eve], Role::Member), remove(&[&alice]), GroupAsk::Transfer(bob.clone())] {
        assert_eq!(owner.groups(&pair, ask).await.code, MALFORMED);
    }
}
