//! What people do to messages: edit, delete for all, react, reply, mention, pin; and may not.

use godwit_proto::conversation::v1::{Entry, EntryType, Fate, Role, Send};
use godwit_proto::sync::v1::HistoryRequest;
use godwit_testkit::chat::{Chat, about, cid_bytes, message, roles};
use godwit_testkit::server::Options;
use godwit_testkit::wire::Version;

use super::side::Side;
use super::world::World;

in_both_versions!(
    an_edit_is_a_new_body_for_an_old_message,
    a_deleted_body_is_gone_from_the_store,
    a_reaction_is_replaced_and_taken_back,
    replies_and_mentions_name_places_and_people,
    pins_are_kept_in_order,
    of_many_pins_the_last_are_shown,
    what_may_not_be_done_has_its_code,
    floods_have_an_end,
);

in_both_versions!(with two_seconds: the_time_for_edits_ends);

const FORBIDDEN: u32 = 0x87;
const MALFORMED: u32 = 0x99;

fn two_seconds() -> Options {
    Options::default()
        .with("GODWIT__POLICY__EDIT_WINDOW", "2s")
        .with("GODWIT__POLICY__DELETE_WINDOW", "2s")
}

fn edit(target: u64, body: &str) -> Send {
    about(EntryType::Edit, target, body)
}

fn delete(target: u64) -> Send {
    about(EntryType::Deletion, target, "")
}

fn react(target: u64, body: &str) -> Send {
    about(EntryType::Reaction, target, body)
}

/// The whole log of a conversation that the device may see.
async fn log(chat: &mut Chat, cid: &str) -> Vec<Entry> {
    let conversation_id = cid_bytes(cid).into();
    let reply = chat.ask(HistoryRequest { conversation_id, ..HistoryRequest::default() }).await;
    assert_eq!((reply.code, reply.more), (0, false), "{reply:?}");
    reply.entries
}

async fn refused(chat: &mut Chat, cid: &str, send: Send, code: u32) -> Fate {
    let fate = chat.send(cid, send.clone()).await;
    assert_eq!((fate.code, fate.seq), (code, 0), "{send:?}: {fate:?}");
    assert!(fate.message_id.is_empty() && !fate.reason.is_empty(), "{fate:?}");
    fate
}

async fn an_edit_is_a_new_body_for_an_old_message(side: Side<'_>) {
    let cid = side.direct("alice", "bob").await;
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let seq = alice.say(&cid, "helo").await;
    alice.accepted(&cid, edit(seq, "hello")).await;
    let first = bob.entry_of(&cid, EntryType::Message).await;
    let entry = bob.entry_of(&cid, EntryType::Edit).await;
    assert_eq!((entry.seq, entry.target, entry.body.as_ref()), (3, 2, &b"hello"[..]));
    assert_ne!(entry.chain, first.chain);
    assert_eq!((first.number, entry.number), (1, 1), "an edit is no further message");
    // From any device of the sender, as often as wanted; the log keeps each.
    let mut laptop = side.chat("alice", "laptop").await;
    laptop.accepted(&cid, edit(seq, "hello!")).await;
    let bodies: Vec<_> = log(&mut bob, &cid).await.into_iter().map(|entry| entry.body).collect();
    assert_eq!(bodies, ["", "helo", "hello", "hello!"], "behind the creation");
    // The same key is the same edit.
    let mut once = edit(seq, "hello!!");
    once.cmid = "once".to_owned();
    let first = alice.send(&cid, once.clone()).await;
    let again = alice.send(&cid, once).await;
    assert_eq!((first.code, again.code, again.seq), (0, 0, first.seq));
    assert!(again.duplicate);
}

async fn a_deleted_body_is_gone_from_the_store(side: Side<'_>) {
    let secret = |n: u32| format!("secret-{n}-{}", side.id("s"));
    let cid = side.direct("alice", "bob").await;
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let seq = alice.say(&cid, &secret(1)).await;
    let kept = side.id("kept");
    alice.say(&cid, &kept).await;
    alice.accepted(&cid, edit(seq, &secret(2))).await;
    let store = side.world.server.store();
    assert_eq!((store.bodies(&secret(1)), store.bodies(&secret(2))), (1, 1));
    alice.accepted(&cid, delete(seq)).await;
    // Neither the message nor its edit is left in any row.
    assert_eq!((store.bodies(&secret(1)), store.bodies(&secret(2))), (0, 0));
    assert_eq!(store.bodies(&kept), 1);
    bob.hears(&cid, &secret(1)).await;
    bob.hears(&cid, &kept).await;
    bob.entry_of(&cid, EntryType::Edit).await;
    let entry = bob.entry_of(&cid, EntryType::Deletion).await;
    assert_eq!((entry.seq, entry.target, entry.body.len()), (5, 2, 0));
    // Tombstones keep the places, the order and the chain.
    let entries = log(&mut bob, &cid).await;
    let seen: Vec<_> = entries.iter().map(|e| (e.seq, e.body_gone, e.body.len())).collect();
    assert_eq!(seen, [(1, false, 0), (2, true, 0), (3, false, 5), (4, true, 0), (5, false, 0)]);
    assert_eq!(entries[4].chain, entry.chain);
    // What is gone can be neither edited, nor reacted to, nor deleted again.
    for send in [edit(seq, "x"), react(seq, "+1"), delete(seq), about(EntryType::Pin, seq, "")] {
        refused(&mut alice, &cid, send, MALFORMED).await;
    }
    // A device that comes later never sees it.
    let mut late = side.chat("bob", "laptop").await;
    assert_eq!(late.item(&cid).await.preview.expect("the last message").body, kept);
    assert!(log(&mut late, &cid).await[1].body.is_empty());
}

/// A database that has forgotten a row still has its bytes in free places of its pages, unless it is
/// told to overwrite them: whoever finds the file (a backup, a disk that was sold) must not read what
/// people have deleted.
#[tokio::test]
async fn a_deleted_body_is_not_left_in_the_file() {
    let mut world = World::new().await;
    let (short, long) = ("deleted-secret-", "deleted-letter-".repeat(4000));
    {
        let side = Side { world: &world, version: Version::V5 };
        let cid = side.direct("alice", "bob").await;
        let mut alice = side.chat("alice", "phone").await;
        for n in 0..20 {
            let body = if n % 2 == 0 { format!("{short}{n}") } else { format!("{long}{n}") };
            let seq = alice.say(&cid, &body).await;
            alice.accepted(&cid, edit(seq, &format!("{short}edited-{n}"))).await;
        }
        alice.say(&cid, "kept-for-good").await;
        for n in 0..20 {
            alice.accepted(&cid, delete(2 * n + 2)).await;
        }
    }
    // Everything is in the one file when it is closed.
    world.server.stop().await;
    let file = std::fs::read(world.server.data().join("godwit.db")).expect("the database");
    let holds = |text: &str| file.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(holds("kept-for-good"), "the right file");
    assert!(!holds(short) && !holds("deleted-letter-"), "deleted bodies are still in the file");
    world.server.restart().await;
}

async fn a_reaction_is_replaced_and_taken_back(side: Side<'_>) {
    let cid = side.group(&["alice", "bob", "carol"]).await;
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut carol = side.chat("carol", "phone").await;
    let seq = alice.say(&cid, "shall we?").await;
    let family = "\u{1F469}\u{200D}\u{1F469}\u{200D}\u{1F467}\u{200D}\u{1F466}";
    let reactions = [(&mut bob, "+1"), (&mut carol, family)];
    for (who, body) in reactions {
        who.accepted(&cid, react(seq, body)).await;
    }
    bob.accepted(&cid, react(seq, "-1")).await;
    bob.accepted(&cid, react(seq, "")).await;
    for (user, body) in [("bob", "+1"), ("carol", family), ("bob", "-1"), ("bob", "")] {
        let entry = alice.entry_of(&cid, EntryType::Reaction).await;
        assert_eq!((entry.sender.as_str(), entry.target), (side.id(user).as_str(), seq));
        assert_eq!(entry.body, body);
        assert_eq!(entry.number, 1, "no further message");
    }
    // Bounded in bytes: an emoji of 64 bytes, not of 65.
    alice.accepted(&cid, react(seq, &"x".repeat(64))).await;
    refused(&mut alice, &cid, react(seq, &"x".repeat(65)), MALFORMED).await;
}

async fn replies_and_mentions_name_places_and_people(side: Side<'_>) {
    let cid = side.group(&["alice", "bob", "carol"]).await;
    let (bob_id, carol_id) = (side.id("bob"), side.id("carol"));
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let seq = bob.say(&cid, "who comes?").await;
    let mentions = vec![bob_id.clone(), carol_id.clone()];
    let answer = Send { reply_to: seq, mentions: mentions.clone(), ..message("I do, and you?") };
    alice.accepted(&cid, answer).await;
    let entry = bob.entry_of(&cid, EntryType::Message).await;
    assert_eq!((entry.reply_to, &entry.mentions), (seq, &mentions));
    let mut carol = side.chat("carol", "phone").await;
    let entry = &log(&mut carol, &cid).await[2];
    assert_eq!((entry.reply_to, &entry.mentions), (seq, &mentions));
    assert_eq!(carol.item(&cid).await.mentions, 1);
    // Fifty, and no more; user ids, and nothing else.
    let many = |n: usize| (0..n).map(|n| format!("u{n}")).collect::<Vec<_>>();
    alice.accepted(&cid, Send { mentions: many(50), ..message("all of you") }).await;
    for mentions in [many(51), vec!["a/b".to_owned()], vec![String::new()]] {
        refused(&mut alice, &cid, Send { mentions, ..message("x") }, MALFORMED).await;
    }
    refused(&mut alice, &cid, Send { reply_to: 99, ..message("x") }, MALFORMED).await;
}

async fn pins_are_kept_in_order(side: Side<'_>) {
    let cid = side.group(&["olga", "bob"]).await;
    let mut owner = side.chat("olga", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let pin = |seq| about(EntryType::Pin, seq, "");
    let unpin = |seq| about(EntryType::Unpin, seq, "");
    for body in ["one", "two", "three"] {
        bob.say(&cid, body).await;
    }
    refused(&mut bob, &cid, pin(2), FORBIDDEN).await;
    for seq in [3, 2, 4, 3] {
        owner.accepted(&cid, pin(seq)).await;
    }
    let told = bob.entry_of(&cid, EntryType::Pin).await;
    assert_eq!((told.target, told.number), (3, 3));
    let targets = |group: godwit_proto::group::v1::Group| {
        group.pins.iter().map(|entry| entry.target).collect::<Vec<_>>()
    };
    assert_eq!(targets(bob.look(&cid).await), [3, 4, 2], "the last pinned first");
    owner.accepted(&cid, unpin(4)).await;
    assert_eq!(targets(bob.look(&cid).await), [3, 2]);
    // A deleted message is no pin any more.
    owner.accepted(&cid, delete(3)).await;
    assert_eq!(targets(bob.look(&cid).await), [2]);
    // Of a pair both pin.
    let pair = side.direct("olga", "bob").await;
    owner.say(&pair, "between us").await;
    bob.accepted(&pair, pin(2)).await;
    assert_eq!(targets(owner.look(&pair).await), [2]);
}

async fn of_many_pins_the_last_are_shown(side: Side<'_>) {
    const SHOWN: usize = 100;
    let cid = side.group(&["olga", "bob"]).await;
    let mut owner = side.chat("olga", "phone").await;
    let last = SHOWN as u64 + 3;
    for n in 2..=last {
        owner.say(&cid, &format!("{n}")).await;
    }
    for seq in 2..=last {
        owner.accepted(&cid, about(EntryType::Pin, seq, "")).await;
    }
    let newest: Vec<u64> = (2..=last).rev().take(SHOWN).collect();
    let shown: Vec<u64> = owner.look(&cid).await.pins.iter().map(|pin| pin.target).collect();
    assert_eq!(shown, newest);
    let list = side.rest("olga").await.get(&format!("/v1/conversations/{cid}/pins")).await;
    let list = list.expect(200);
    let targets = list["pins"].as_array().expect("a list").iter();
    assert_eq!(targets.filter_map(|pin| pin["target"].as_u64()).collect::<Vec<_>>(), newest);
}

async fn what_may_not_be_done_has_its_code(side: Side<'_>) {
    let cid = side.group(&["olga", "adam", "mia", "bob"]).await;
    let adam_id = side.id("adam");
    let mut owner = side.chat("olga", "phone").await;
    owner.changed(&cid, roles(&[(&adam_id, Role::Admin)])).await;
    let mut admin = side.chat("adam", "phone").await;
    let mut mia = side.chat("mia", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let seq = mia.say(&cid, "mine").await;
    let other = mia.say(&cid, "mine, too").await;
    let reaction = bob.accepted(&cid, react(seq, "+1")).await;
    let head = reaction;
    let why = refused(&mut bob, &cid, edit(seq, "his"), FORBIDDEN).await.reason;
    assert!(why.contains("sender"), "{why}");
    refused(&mut bob, &cid, delete(seq), FORBIDDEN).await;
    refused(&mut owner, &cid, edit(seq, "hers"), FORBIDDEN).await;
    for what in [
        react(99, "+1"),
        edit(99, "x"),
        delete(99),
        react(0, "+1"),
        // Not messages: a change of roles, a reaction.
        react(1, "+1"),
        react(reaction, "+1"),
        edit(reaction, "x"),
        about(EntryType::Membership, seq, "x"),
        about(EntryType::Details, seq, "x"),
        Send { r#type: 77, ..message("x") },
        // A message is about nothing.
        Send { target: seq, ..message("x") },
    ] {
        refused(&mut mia, &cid, what, MALFORMED).await;
    }
    let group = owner.look(&cid).await;
    assert_eq!(group.head_seq, head, "nothing of it took a place");
    // Admins and owners clean up after others.
    admin.accepted(&cid, delete(seq)).await;
    owner.accepted(&cid, delete(other)).await;
    // Not in a pair: there each deletes its own.
    let pair = side.direct("mia", "bob").await;
    let seq = mia.say(&pair, "to bob").await;
    refused(&mut bob, &pair, delete(seq), FORBIDDEN).await;
    mia.accepted(&pair, delete(seq)).await;
}

async fn floods_have_an_end(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let seq = alice.say(&cid, "a").await;
    // Twenty reactions of one user to one message, whatever they are; sent at once.
    let mut window = Vec::new();
    for n in 0..30 {
        window.push(bob.start(&cid, react(seq, &format!("emoji {n}"))).await);
    }
    let mut codes = Vec::new();
    for sent in window {
        codes.push(bob.fate(sent).await.code);
    }
    assert_eq!(codes[..20], [0; 20], "{codes:?}");
    assert_eq!(codes[20..], [MALFORMED; 10], "{codes:?}");
    // Another user, and another message, have their own.
    alice.accepted(&cid, react(seq, "mine")).await;
    let other = alice.say(&cid, "b").await;
    bob.accepted(&cid, react(other, "+1")).await;
    // A hundred edits.
    let mut last = 0;
    for n in 0..101 {
        last = alice.send(&cid, edit(other, &format!("b{n}"))).await.code;
        assert_eq!(last == 0, n < 100, "the edit {n}");
    }
    assert_eq!(last, MALFORMED);
}

async fn the_time_for_edits_ends(side: Side<'_>) {
    let cid = side.group(&["olga", "bob"]).await;
    let mut bob = side.chat("bob", "phone").await;
    let mut owner = side.chat("olga", "phone").await;
    let seq = bob.say(&cid, "in haste").await;
    bob.accepted(&cid, edit(seq, "in time")).await;
    // The time itself is what is tested.
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    let why = refused(&mut bob, &cid, edit(seq, "too late"), FORBIDDEN).await.reason;
    assert!(why.contains("time"), "{why}");
    refused(&mut bob, &cid, delete(seq), FORBIDDEN).await;
    let own = owner.say(&cid, "hers").await;
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    // Owners may delete at any time, and nobody edits late.
    refused(&mut owner, &cid, edit(own, "x"), FORBIDDEN).await;
    owner.accepted(&cid, delete(seq)).await;
    owner.accepted(&cid, delete(own)).await;
}
