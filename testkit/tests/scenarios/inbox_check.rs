//! `godwit inbox check`: what stands beside the log is compared with it, and mended.

use godwit_proto::conversation::v1::{EntryType, Role, Send};
use godwit_testkit::chat::{about, add, message, remove};
use godwit_testkit::rows::Place;
use godwit_testkit::wire::Version;

use super::side::Side;
use super::world::World;

on_both_stores!(a_check_finds_nothing_after_a_busy_day, planted_damage_is_found_and_mended);

/// Everything that moves a value beside the log, over several conversations. Their ids.
async fn a_busy_day(world: &World) -> Vec<String> {
    let side = Side { world, version: Version::V5 };
    let (carol, bob_id) = (side.id("carol"), side.id("bob"));
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut cids = Vec::new();
    for n in 0..3 {
        let cid = side.group(&["alice", "bob"]).await;
        alice.say_many(&cid, "n", 10 + n).await;
        let named = Send { mentions: vec![bob_id.clone(), carol.clone()], ..message("you two") };
        let seq = alice.accepted(&cid, named).await;
        bob.accepted(&cid, about(EntryType::Reaction, seq, "+1")).await;
        alice.accepted(&cid, about(EntryType::Edit, seq, "you both")).await;
        alice.accepted(&cid, about(EntryType::Deletion, 2, "")).await;
        alice.changed(&cid, add(&[&carol], Role::Member)).await;
        let named = Send { mentions: vec![carol.clone()], ..message("welcome") };
        alice.accepted(&cid, named).await;
        bob.read(&cid, 7).await;
        if n == 2 {
            alice.changed(&cid, remove(&[&carol])).await;
        }
        cids.push(cid);
    }
    cids
}

async fn a_check_finds_nothing_after_a_busy_day(mut world: World) {
    a_busy_day(&world).await;
    // Beside the running server, and alone.
    let (good, said) = world.server.command(&["inbox", "check"]).await;
    assert!(good && said.contains("nothing differs"), "{said}");
    world.server.stop().await;
    assert_eq!(world.server.command(&["inbox", "check"]).await, (true, said));
    world.server.restart().await;
}

/// The id of a conversation as a literal of the store's SQL.
fn literal(store: &Place, cid: &str) -> String {
    let hex = super::payload::cid_bytes(cid).iter().map(|b| format!("{b:02x}")).collect::<String>();
    match store {
        Place::Sqlite(_) => format!("x'{hex}'"),
        Place::Postgres(_) => format!("'{hex}'::uuid"),
    }
}

/// Writes what no server would have written.
fn damage(store: &Place, cids: &[String], bob: &str, carol: &str) {
    let [one, two, three] = [0, 1, 2].map(|n| literal(store, &cids[n]));
    let mention = "insert into mentions (conversation_id, user_id, seq) values";
    for statement in [
        format!("update conversations set number = number + 7 where id = {one}"),
        format!("update conversations set active_seq = 1, active_ms = 5 where id = {two}"),
        format!("update messages set number = 99 where conversation_id = {one} and seq = 4"),
        format!("delete from mentions where conversation_id = {one} and user_id = '{bob}'"),
        format!("{mention} ({two}, '{bob}', 3)"),
        format!("{mention} ({three}, '{carol}', 4)"),
        format!(
            "update inbox set read_seq = 999, delivered_seq = 999 \
             where conversation_id = {two} and user_id = '{bob}'"
        ),
    ] {
        let _ = store.ask(&statement);
    }
}

async fn planted_damage_is_found_and_mended(mut world: World) {
    let cids = a_busy_day(&world).await;
    let side = Side { world: &world, version: Version::V5 };
    let mut bob = side.chat("bob", "phone").await;
    let (bob_id, carol) = (side.id("bob"), side.id("carol"));
    let mut right = Vec::new();
    for cid in &cids {
        right.push(bob.item(cid).await);
    }
    bob.disconnect().await;
    world.server.stop().await;
    let store = world.server.store();
    damage(&store, &cids, &bob_id, &carol);
    let (good, said) = world.server.command(&["inbox", "check"]).await;
    assert!(!good, "a check that finds something says so by its end: {said}");
    for field in ["number", "active_seq", "active_ms", "mentions", "read_seq", "delivered_seq"] {
        assert!(said.contains(field), "{field} in {said}");
    }
    for cid in &cids {
        assert!(said.contains(cid.as_str()), "{cid} in {said}");
    }
    // Looking alone mends nothing.
    assert_eq!(world.server.command(&["inbox", "check"]).await.1, said);
    // A server runs on what it has; it is mended beside it, whatever the server remembers.
    world.server.restart().await;
    let side = Side { world: &world, version: Version::V5 };
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    for cid in &cids {
        alice.say(cid, "meanwhile").await;
        bob.hears(cid, "meanwhile").await;
    }
    let (good, mended) = world.server.command(&["inbox", "check", "--repair"]).await;
    assert!(good && mended.contains("mended"), "{mended}");
    let (good, said) = world.server.command(&["inbox", "check"]).await;
    assert!(good, "{said}");
    for (n, (cid, right)) in cids.iter().zip(right).enumerate() {
        let now = bob.item(cid).await;
        assert_eq!(now.head_seq, right.head_seq + 1);
        assert_eq!(now.preview.map(|entry| entry.body), Some("meanwhile".into()));
        if n == 1 {
            // A cursor beyond the head is at the head: what it was is not to be known any more.
            assert!(now.read >= right.head_seq && now.read <= now.head_seq, "{}", now.read);
            assert_eq!((now.unread, now.mentions), (now.head_seq - now.read, 0));
        } else {
            let expected = (right.unread + 1, right.mentions, right.read);
            assert_eq!((now.unread, now.mentions, now.read), expected);
        }
    }
    // It goes on from there.
    for cid in &cids {
        let before = bob.item(cid).await.unread;
        alice.say(cid, "and on").await;
        assert_eq!(bob.item(cid).await.unread, before + 1);
    }
    let (good, said) = world.server.command(&["inbox", "check"]).await;
    assert!(good, "{said}");
}
