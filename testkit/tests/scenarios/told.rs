//! What concerns a person alone: told on `x` and `o`, to kept sessions until they acknowledge it.

use godwit_proto::conversation::v1::control::Kind;
use godwit_proto::conversation::v1::{Control, Role};
use godwit_proto::inbox::v1::own_update::What;
use godwit_proto::inbox::v1::{OwnUpdate, SetMarks};
use godwit_testkit::chat::{Chat, cid_bytes, cid_text, remove, roles};
use prost::Message as _;
use serde_json::{Value, json};

use super::side::Side;

in_both_versions!(
    who_was_away_is_told_of_a_removal_until_it_is_acknowledged,
    who_is_there_is_told_by_whom_and_when,
    own_devices_hear_what_another_has_set,
);

/// A kept session with these subscriptions; it is asked whether there was one.
async fn kept(side: &Side<'_>, name: &str, device: &str, filters: &[&str]) -> Chat {
    let hello = side.hello(name, device).await.kept();
    Chat::connect_for(&side.world.mqtt(), &hello, filters).await.0
}

fn about(control: &Control) -> (Kind, String, &str) {
    (control.kind(), cid_text(&control.conversation_id), control.by.as_str())
}

async fn who_was_away_is_told_of_a_removal_until_it_is_acknowledged(side: Side<'_>) {
    let cid = side.group(&["alice", "bob", "carol"]).await;
    let (alice_id, carol_id) = (side.id("alice"), side.id("carol"));
    kept(&side, "carol", "phone", &["m/#", "x"]).await.disconnect().await;
    let mut alice = side.chat("alice", "phone").await;
    let (_, named) = alice.changed(&cid, roles(&[(&carol_id, Role::Admin)])).await;
    let (_, removed) = alice.changed(&cid, remove(&[&carol_id])).await;
    // Not acknowledged, it is told again.
    for round in 0..2 {
        let mut carol = kept(&side, "carol", "phone", &[]).await;
        carol.probe.acknowledge = round > 0;
        let role = carol.control().await;
        assert_eq!(about(&role), (Kind::RoleChanged, cid.clone(), alice_id.as_str()));
        assert_eq!((role.role(), role.seq), (Role::Admin, named));
        let gone = carol.control().await;
        assert_eq!(about(&gone), (Kind::Revoked, cid.clone(), alice_id.as_str()));
        assert_eq!((gone.seq, gone.number > role.number), (removed, true));
        assert!(gone.time_ms > 1_700_000_000_000);
        carol.probe.fence().await;
        if round > 0 {
            carol.disconnect().await;
        }
    }
    // Acknowledged, it is not; what comes later is.
    let other = side.group(&["alice", "carol"]).await;
    alice.changed(&other, remove(&[&carol_id])).await;
    let mut carol = kept(&side, "carol", "phone", &[]).await;
    assert_eq!(about(&carol.control().await), (Kind::Revoked, other, alice_id.as_str()));
    carol.probe.fence().await;
    assert_eq!(carol.left("x"), Vec::<String>::new());
}

async fn who_is_there_is_told_by_whom_and_when(side: Side<'_>) {
    let cid = side.group(&["alice", "carol"]).await;
    let (alice_id, carol_id) = (side.id("alice"), side.id("carol"));
    let mut alice = side.chat("alice", "phone").await;
    let mut here = [
        side.chat_for("carol", "phone", &["x"]).await,
        kept(&side, "carol", "tablet", &["#"]).await,
    ];
    alice.changed(&cid, roles(&[(&carol_id, Role::ReadOnly)])).await;
    let (_, removed) = alice.changed(&cid, remove(&[&carol_id])).await;
    for carol in &mut here {
        let role = carol.control().await;
        assert_eq!(about(&role), (Kind::RoleChanged, cid.clone(), alice_id.as_str()));
        assert_eq!(role.role(), Role::ReadOnly);
        let gone = carol.control().await;
        assert_eq!(about(&gone), (Kind::Revoked, cid.clone(), alice_id.as_str()));
        assert_eq!((gone.seq, gone.time_ms > 1_700_000_000_000), (removed, true));
    }
}

async fn own(chat: &mut Chat) -> OwnUpdate {
    OwnUpdate::decode(chat.probe.recv_at("o").await.payload.as_slice()).expect("an update")
}

async fn own_devices_hear_what_another_has_set(side: Side<'_>) {
    let cid = side.direct("alice", "bob").await;
    let mut bob = side.chat("bob", "phone").await;
    kept(&side, "alice", "tablet", &["o"]).await.disconnect().await;
    let mut phone = kept(&side, "alice", "phone", &["o", "a", "r/#", "q/#"]).await;
    let mut laptop = side.chat_for("alice", "laptop", &["o"]).await;
    let seq = bob.say(&cid, "hello").await;
    phone.read(&cid, seq).await;
    let marks = SetMarks { archived: Some(true), marked_unread: Some(true), ..SetMarks::default() };
    assert_eq!(phone.mark(&cid, marks).await.code, 0);
    // The latest of a subject is what is told to who was away.
    let marks = SetMarks { archived: Some(false), ..SetMarks::default() };
    assert_eq!(phone.mark(&cid, marks).await.code, 0);
    let rest = side.rest("alice").await;
    rest.patch("/v1/settings", &json!({ "share_reads": false })).await.expect(200);
    rest.put(&format!("/v1/blocks/{}", side.id("bob")), &Value::Null).await.expect(204);
    let told = |update: &OwnUpdate| match update.what.as_ref().expect("something") {
        What::Read(read) => {
            format!("read {} {}", read.conversation_id == cid_bytes(&cid), read.read)
        }
        What::Marks(marks) => format!("marks {} {}", marks.archived, marks.marked_unread),
        What::Settings(settings) => format!("settings {}", settings.share_reads),
        What::Block(block) => format!("block {} {}", block.user, block.blocked),
    };
    let read = format!("read true {seq}");
    let block = format!("block {} true", side.id("bob"));
    let all = [&read, "marks true true", "marks false true", "settings false", &block];
    for expected in all {
        let update = own(&mut laptop).await;
        assert_eq!(told(&update), expected);
        let by =
            if expected.starts_with('r') || expected.starts_with('m') { "phone" } else { "web" };
        assert_eq!((update.device.as_str(), update.number), (by, 0));
    }
    // The phone knows what it has done itself.
    for expected in &all[3..] {
        assert_eq!(told(&own(&mut phone).await), *expected);
    }
    let mut tablet = kept(&side, "alice", "tablet", &[]).await;
    let mut last = 0;
    for expected in [&read, all[2], all[3], all[4]] {
        let update = own(&mut tablet).await;
        assert_eq!(told(&update), expected);
        assert!(update.number > last, "{update:?}");
        last = update.number;
    }
    tablet.probe.fence().await;
    assert_eq!(tablet.left("o"), Vec::<String>::new());
}
