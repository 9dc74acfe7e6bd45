//! Who blocks another is left in peace, and nothing else changes.

use godwit_proto::conversation::v1::{EntryType, Role};
use godwit_proto::group::v1::Create;
use godwit_proto::group::v1::group_request::Ask as GroupAsk;
use godwit_proto::presence::v1::presence::State;
use godwit_proto::presence::v1::typing;
use godwit_proto::presence::v1::user_presence::State as Seen;
use godwit_testkit::chat::{about, add, message};
use serde_json::{Value, json};

use super::side::Side;

in_both_versions!(a_blocked_user_cannot_write, blocks_are_listed_and_bounded_to_ones_own);
in_both_versions!(sqlite: a_blocked_user_sees_neither_presence_nor_typing);

const FORBIDDEN: u32 = 0x87;

async fn block(side: &Side<'_>, who: &str, whom: &str, on: bool) {
    let path = format!("/v1/blocks/{}", side.id(whom));
    let rest = side.rest(who).await;
    let reply = if on { rest.put(&path, &Value::Null).await } else { rest.delete(&path).await };
    reply.expect(204);
}

async fn a_blocked_user_cannot_write(side: Side<'_>) {
    let pair = side.direct("mallory", "alice").await;
    let group = side.group(&["alice", "mallory", "bob"]).await;
    let alice_id = side.id("alice");
    let mut alice = side.chat("alice", "phone").await;
    let mut mallory = side.chat("mallory", "phone").await;
    mallory.say(&pair, "hello").await;
    block(&side, "alice", "mallory", true).await;
    // Not a word more between the two: no message, no reaction, no edit.
    let sends =
        [message("why?"), about(EntryType::Reaction, 1, "?"), about(EntryType::Edit, 1, "x")];
    for send in sends {
        let fate = mallory.send(&pair, send).await;
        assert_eq!((fate.code, fate.seq), (FORBIDDEN, 0), "{fate:?}");
        assert!(!fate.reason.contains("block"), "{fate:?}");
    }
    // Nor by a new conversation, nor by dragging alice into a group.
    let members = |direct| Create { direct, members: vec![alice_id.clone()], details: None };
    let reply = mallory.groups("", GroupAsk::Create(members(false))).await;
    assert_eq!((reply.code, reply.group), (FORBIDDEN, None), "{}", reply.reason);
    let own = mallory.create(&[&side.id("bob")], None).await;
    assert_eq!(mallory.groups(&own, add(&[&alice_id], Role::Member)).await.code, FORBIDDEN);
    let rest = side.rest("mallory").await;
    let body = json!({ "kind": "group", "members": [alice_id] });
    assert_eq!(rest.post("/v1/conversations", &body).await.problem(403), "forbidden");
    let path = format!("/v1/conversations/{own}/members");
    let body = json!({ "users": [alice_id] });
    assert_eq!(rest.post(&path, &body).await.problem(403), "forbidden");
    // Groups of both go on; and alice may still speak.
    mallory.say(&group, "to the group").await;
    alice.hears(&group, "to the group").await;
    alice.say(&pair, "leave me alone").await;
    mallory.hears(&pair, "leave me alone").await;
    // A device that connects later is held to it, too; a refused send keeps no key.
    let mut laptop = side.chat("mallory", "laptop").await;
    let mut again = message("please?");
    again.cmid = "again".to_owned();
    assert_eq!(laptop.send(&pair, again.clone()).await.code, FORBIDDEN);
    block(&side, "alice", "mallory", false).await;
    let fate = laptop.send(&pair, again).await;
    assert_eq!((fate.code, fate.duplicate), (0, false), "{fate:?}");
    alice.hears(&pair, "hello").await;
    alice.hears(&pair, "please?").await;
    // A conversation that is made while someone blocks is held to it from its first word.
    let (eve_id, mut eve) = (side.id("eve"), side.chat("eve", "phone").await);
    block(&side, "alice", "eve", true).await;
    let create = |member: &str| {
        let members = vec![member.to_owned()];
        GroupAsk::Create(Create { direct: true, members, details: None })
    };
    assert_eq!(eve.groups("", create(&alice_id)).await.code, FORBIDDEN);
    let mut first = alice.groups("", create(&eve_id)).await;
    let made = first.group.take().expect("alice may ask eve");
    let cid = godwit_testkit::chat::cid_text(&made.conversation_id);
    assert_eq!(eve.send(&cid, message("at last!")).await.code, FORBIDDEN);
}

async fn a_blocked_user_sees_neither_presence_nor_typing(side: Side<'_>) {
    let pair = side.direct("alice", "mallory").await;
    let (alice_id, mallory_id) = (side.id("alice"), side.id("mallory"));
    let mut alice = side.chat("alice", "phone").await;
    let mut mallory = side.chat("mallory", "phone").await;
    mallory.is(State::Foreground, &[&pair]).await;
    assert_eq!(mallory.presence(&alice_id).await.state(), Seen::Online);
    block(&side, "alice", "mallory", true).await;
    // As if alice hid it: nothing tells a block from a setting.
    let told = mallory.presence(&alice_id).await;
    assert_eq!((told.state(), told.last_seen_ms), (Seen::Hidden, 0));
    alice.is(State::Away, &[]).await;
    // And mallory's typing is not alice's business any more.
    mallory.types(&pair, typing::State::Start).await;
    mallory.probe.fence().await;
    alice.say(&pair, "marker").await;
    mallory.hears(&pair, "marker").await;
    // Told again, it may be; told more, not.
    for _ in mallory.left("p/") {
        assert_eq!(mallory.presence(&alice_id).await.state(), Seen::Hidden);
    }
    alice.probe.fence().await;
    assert_eq!(alice.left("t/"), Vec::<String>::new());
    block(&side, "alice", "mallory", false).await;
    let mut shown = Seen::Hidden;
    while shown == Seen::Hidden {
        shown = mallory.presence(&alice_id).await.state();
    }
    assert_eq!(shown, Seen::Away);
    // Whom one blocks one need not see either; but nothing of it hides from oneself.
    alice.is(State::Foreground, &[&pair]).await;
    assert_eq!(alice.presence(&mallory_id).await.state(), Seen::Online);
}

async fn blocks_are_listed_and_bounded_to_ones_own(side: Side<'_>) {
    let alice = side.rest("alice").await;
    let names: Vec<String> = (0..5).map(|n| format!("troll{n}-")).collect();
    for name in names.iter().rev() {
        block(&side, "alice", name, true).await;
        // Once more changes nothing.
        block(&side, "alice", name, true).await;
    }
    let ids: Vec<String> = names.iter().map(|name| side.id(name)).collect();
    assert_eq!(alice.get("/v1/blocks").await.expect(200)["blocks"], json!(ids));
    let page = alice.get("/v1/blocks?limit=3").await.expect(200);
    assert_eq!(page["blocks"], json!(ids[..3]));
    let next = page["next"].as_str().expect("more");
    let page = alice.get(&format!("/v1/blocks?limit=3&cursor={next}")).await.expect(200);
    assert_eq!((&page["blocks"], &page["next"]), (&json!(ids[3..]), &Value::Null));
    block(&side, "alice", &names[2], false).await;
    block(&side, "alice", &names[2], false).await;
    let left: Vec<&String> = ids.iter().filter(|id| **id != ids[2]).collect();
    assert_eq!(alice.get("/v1/blocks").await.expect(200)["blocks"], json!(left));
    // Nobody sees, or sets, another's.
    let user = side.id("alice");
    let bob = side.rest("bob").await;
    assert_eq!(bob.get(&format!("/v1/blocks?user={user}")).await.problem(403), "forbidden");
    let path = format!("/v1/blocks/carol?user={user}");
    assert_eq!(bob.put(&path, &Value::Null).await.problem(403), "forbidden");
    let own = format!("/v1/blocks/{user}");
    assert_eq!(alice.put(&own, &Value::Null).await.problem(400), "bad_request");
    assert_eq!(alice.put("/v1/blocks/a%20b", &Value::Null).await.problem(400), "bad_request");
    assert!(
        bob.get("/v1/blocks").await.expect(200)["blocks"].as_array().is_some_and(Vec::is_empty)
    );
}
