//! The conversation list: what is new where, counted by subtraction, the same on every device.

use std::time::{SystemTime, UNIX_EPOCH};

use godwit_proto::conversation::v1::{Details, EntryType, Role, Send};
use godwit_proto::inbox::v1::own_update::What;
use godwit_proto::inbox::v1::{Item, List, OwnUpdate, SetMarks, Shelf};
use godwit_testkit::chat::{self, Chat, about, add, cid_text, message, remove};
use prost::Message as _;
use serde_json::{Value, json};

use super::groups::member;
use super::side::Side;

in_both_versions!(
    the_latest_activity_comes_first,
    the_preview_is_what_the_message_is_now,
    unread_is_a_subtraction,
    sending_reads_what_was_before,
    a_badge_is_the_sum,
    a_walk_skips_nothing,
    mentions_are_counted_apart,
    marks_are_ones_own,
    an_inbox_comes_in_pages,
    leaving_and_coming_back_begins_anew,
    rest_shows_the_same,
);

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("this millennium")
}

fn ids(items: &[Item]) -> Vec<String> {
    items.iter().map(|item| cid_text(&item.conversation_id)).collect()
}

/// A moment later than the last: activity is told apart by the millisecond.
async fn tick() {
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
}

async fn the_latest_activity_comes_first(side: Side<'_>) {
    let (one, two) = (side.group(&["alice", "bob"]).await, side.direct("alice", "bob").await);
    let three = side.group(&["alice", "bob"]).await;
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    for cid in [&one, &two, &three] {
        tick().await;
        alice.say(cid, "first").await;
    }
    assert_eq!(ids(&bob.inbox().await), [three.as_str(), &two, &one]);
    tick().await;
    alice.say(&one, "again").await;
    assert_eq!(ids(&bob.inbox().await), [one.as_str(), &three, &two]);
    // Reactions, edits, receipts and pins are no activity; changes of members and details are.
    tick().await;
    bob.accepted(&two, about(EntryType::Reaction, 2, "+1")).await;
    alice.accepted(&two, about(EntryType::Edit, 2, "first!")).await;
    alice.accepted(&two, about(EntryType::Pin, 2, "")).await;
    bob.read(&two, 3).await;
    assert_eq!(ids(&bob.inbox().await), [one.as_str(), &three, &two]);
    let title = Details { title: Some("Trip".to_owned()), ..Details::default() };
    tick().await;
    alice.changed(&three, chat::details(title, None)).await;
    let items = bob.inbox().await;
    assert_eq!(ids(&items), [three.as_str(), &one, &two]);
    let (group, pair) = (&items[0], &items[2]);
    assert_eq!((group.title.as_str(), group.direct, group.members), ("Trip", false, 2));
    assert_eq!((pair.peer.as_str(), pair.direct), (side.id("alice").as_str(), true));
    let preview = group.preview.as_ref().expect("the change");
    assert_eq!((preview.r#type(), preview.seq), (EntryType::Details, 3));
    assert_eq!(preview.details.as_ref().and_then(|d| d.title.as_deref()), Some("Trip"));
    assert_eq!((group.role(), group.tag, group.group_version), (Role::Member, 2, 1));
    assert_eq!((pair.head_seq, pair.preview.as_ref().map(|entry| entry.seq)), (5, Some(2)));
    // A conversation in which nothing was said yet is there, too.
    let four = side.group(&["alice", "bob"]).await;
    let fresh = bob.item(&four).await;
    assert_eq!((fresh.head_seq, fresh.unread), (1, 0));
    assert_eq!(fresh.preview.map(|entry| entry.r#type()), Some(EntryType::Membership));
    assert!(fresh.active_ms.abs_diff(now_ms()) < 10_000);
    assert_eq!(ids(&bob.inbox().await)[0], four);
}

async fn the_preview_is_what_the_message_is_now(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let preview = async |chat: &mut Chat| {
        let item = chat.item(&cid).await;
        let entry = item.preview.expect("a preview");
        (entry.seq, String::from_utf8_lossy(&entry.body).into_owned(), entry.body_gone)
    };
    alice.say(&cid, "helo").await;
    assert_eq!(preview(&mut bob).await, (2, "helo".to_owned(), false));
    alice.accepted(&cid, about(EntryType::Edit, 2, "hello")).await;
    alice.accepted(&cid, about(EntryType::Edit, 2, "hello!")).await;
    assert_eq!(preview(&mut bob).await, (2, "hello!".to_owned(), false));
    alice.accepted(&cid, about(EntryType::Deletion, 2, "")).await;
    assert_eq!(preview(&mut bob).await, (2, String::new(), true));
    // Encrypted bytes come as they are; long ones are cut, and it is said.
    let opaque: Vec<u8> = (0..=255).collect();
    let send = Send { body: opaque.clone().into(), ..Send::default() };
    alice.accepted(&cid, send).await;
    let item = bob.item(&cid).await;
    assert_eq!(item.preview.expect("a preview").body, opaque);
    alice.say(&cid, &"x".repeat(100_000)).await;
    let item = bob.item(&cid).await;
    let cut = item.preview.expect("a preview").body.len();
    assert!(item.preview_cut && (16..100_000).contains(&cut), "{cut}");
    // A newcomer is shown nothing of what was before.
    let carol_id = side.id("carol");
    let mut carol = side.chat("carol", "phone").await;
    alice.changed(&cid, add(&[&carol_id], Role::Member)).await;
    let entry = carol.item(&cid).await.preview.expect("the joining");
    assert_eq!(entry.r#type(), EntryType::Membership);
}

async fn unread_is_a_subtraction(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut laptop = side.chat("bob", "laptop").await;
    let unread = async |chat: &mut Chat| chat.item(&cid).await.unread;
    alice.say_many(&cid, "a", 5).await;
    assert_eq!((unread(&mut bob).await, unread(&mut alice).await), (5, 0));
    bob.read(&cid, 4).await;
    assert_eq!((unread(&mut bob).await, unread(&mut laptop).await), (2, 2));
    // Neither one's own messages count, nor what is no message.
    for _ in 0..4 {
        bob.accepted(&cid, Send { keep_unread: true, ..message("b") }).await;
    }
    alice.accepted(&cid, about(EntryType::Edit, 2, "x")).await;
    alice.accepted(&cid, about(EntryType::Reaction, 7, "+1")).await;
    assert_eq!((unread(&mut bob).await, unread(&mut alice).await), (2, 4));
    alice.say(&cid, "one more").await;
    assert_eq!(unread(&mut bob).await, 3);
    // A deleted one is nothing to be read, though its place is there.
    alice.accepted(&cid, about(EntryType::Deletion, 13, "")).await;
    assert_eq!(unread(&mut bob).await, 2);
    // Reading an entry that is no message reads all before it.
    bob.read(&cid, 12).await;
    assert_eq!(unread(&mut bob).await, 0);
    let head = bob.item(&cid).await.head_seq;
    bob.read(&cid, head).await;
    let item = bob.item(&cid).await;
    assert_eq!((item.unread, item.read, item.delivered), (0, 14, 14));
    // What alice said after bob's messages has read these.
    assert_eq!(unread(&mut alice).await, 0);
}

async fn sending_reads_what_was_before(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    let bob_id = side.id("bob");
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut laptop = side.chat_for("bob", "laptop", &["a", "q/#", "o"]).await;
    alice.say_many(&cid, "a", 3).await;
    bob.accepted(&cid, Send { keep_unread: true, ..message("away") }).await;
    let item = laptop.item(&cid).await;
    assert_eq!((item.unread, item.read), (3, 0));
    let seq = bob.say(&cid, "back").await;
    let item = laptop.item(&cid).await;
    assert_eq!((item.unread, item.read, item.delivered), (0, seq, seq));
    // The others are told, and the user's own devices.
    let receipt = alice.receipt(&cid, &bob_id, |r| r.read == seq).await;
    assert_eq!(receipt.delivered, seq);
    let own = laptop.probe.recv_at("o").await;
    match OwnUpdate::decode(own.payload.as_slice()).expect("an update").what {
        Some(What::Read(told)) => assert_eq!(told.read, seq),
        other => panic!("{other:?}"),
    }
    // MQTT 5 without protobuf, and REST.
    alice.say(&cid, "one more").await;
    let rest = side.rest("bob").await;
    let path = format!("/v1/conversations/{cid}/messages");
    rest.post(&path, &json!({ "text": "away", "keep_unread": true })).await.expect(201);
    assert_eq!(laptop.item(&cid).await.unread, 1);
    rest.post(&path, &json!({ "text": "back" })).await.expect(201);
    assert_eq!(laptop.item(&cid).await.unread, 0);
}

async fn a_badge_is_the_sum(side: Side<'_>) {
    let (one, two) = (side.group(&["alice", "bob"]).await, side.group(&["alice", "bob"]).await);
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    alice.say_many(&one, "a", 3).await;
    alice.accepted(&two, Send { mentions: vec![side.id("bob")], ..message("you") }).await;
    let page = |after: bytes::Bytes| List { limit: 1, after, ..List::default() };
    let first = bob.inbox_page(page(bytes::Bytes::new())).await;
    let badge = first.badge.expect("the first page has it");
    assert_eq!((badge.unread, badge.mentions, badge.conversations), (4, 1, 2));
    assert!(bob.inbox_page(page(first.next)).await.badge.is_none());
    let until = SetMarks { muted_until_ms: Some(u64::MAX), ..SetMarks::default() };
    bob.mark(&two, until).await;
    let rest = side.rest("bob").await;
    let shown = rest.get("/v1/inbox").await.expect(200)["badge"].clone();
    assert_eq!(shown, json!({ "unread": 3, "mentions": 1, "conversations": 1 }));
}

/// What gets a message between two pages is met at the walk's end, the rest in the order of its beginning.
async fn a_walk_skips_nothing(side: Side<'_>) {
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut cids = Vec::new();
    for _ in 0..6 {
        let cid = side.group(&["alice", "bob"]).await;
        alice.say(&cid, "x").await;
        cids.push(cid);
        tick().await;
    }
    let (mut found, mut after) = (Vec::new(), Vec::new());
    loop {
        let page = List { limit: 2, after: after.into(), ..List::default() };
        let page = bob.inbox_page(page).await;
        found.extend(ids(&page.items));
        after = page.next.to_vec();
        if after.is_empty() {
            break;
        }
        // The last one of all, and one that was shown, come to the top.
        tick().await;
        alice.say(&cids[0], "y").await;
        alice.say(&cids[5], "y").await;
    }
    let moved = found.split_off(5);
    assert_eq!(found, [5, 4, 3, 2, 1].map(|nth| cids[nth].clone()));
    let both = [&cids[0], &cids[5]];
    assert!(moved.len() == 2 && both.iter().all(|cid| moved.contains(cid)), "{moved:?}");
}

async fn mentions_are_counted_apart(side: Side<'_>) {
    let cid = side.group(&["alice", "bob", "carol"]).await;
    let (bob_id, carol_id) = (side.id("bob"), side.id("carol"));
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut carol = side.chat("carol", "phone").await;
    let naming = |users: &[&String]| Send {
        mentions: users.iter().map(|user| (*user).clone()).collect(),
        ..message("you!")
    };
    let counts = async |chat: &mut Chat| {
        let item = chat.item(&cid).await;
        (item.unread, item.mentions)
    };
    alice.accepted(&cid, naming(&[&bob_id])).await;
    alice.accepted(&cid, naming(&[&bob_id, &carol_id, &bob_id])).await;
    alice.say(&cid, "nobody").await;
    assert_eq!((counts(&mut bob).await, counts(&mut carol).await), ((3, 2), (3, 1)));
    // Naming oneself is nothing to be told of.
    bob.accepted(&cid, Send { keep_unread: true, ..naming(&[&bob_id]) }).await;
    assert_eq!(counts(&mut bob).await, (3, 2));
    bob.read(&cid, 2).await;
    assert_eq!(counts(&mut bob).await, (2, 1));
    // An edit says anew whom its message mentions.
    let edit = |target, users: &[&String]| Send {
        mentions: users.iter().map(|user| (*user).clone()).collect(),
        ..about(EntryType::Edit, target, "you, I mean")
    };
    alice.accepted(&cid, edit(4, &[&bob_id])).await;
    alice.accepted(&cid, edit(3, &[&carol_id])).await;
    assert_eq!((counts(&mut bob).await, counts(&mut carol).await.1), ((2, 1), 1));
    // What is deleted mentions nobody any more.
    alice.accepted(&cid, about(EntryType::Deletion, 4, "")).await;
    alice.accepted(&cid, about(EntryType::Deletion, 3, "")).await;
    assert_eq!((counts(&mut bob).await, counts(&mut carol).await.1), ((0, 0), 0));
}

async fn marks_are_ones_own(side: Side<'_>) {
    let cids = [side.group(&["alice", "bob"]).await, side.group(&["alice", "bob"]).await];
    let [one, two] = &cids;
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut laptop = side.chat("bob", "laptop").await;
    alice.say(one, "x").await;
    tick().await;
    alice.say(two, "x").await;
    let later = now_ms() + 3_600_000;
    let until = |until| SetMarks { muted_until_ms: Some(until), ..SetMarks::default() };
    for (asked, told) in [(later, later), (u64::MAX, u64::MAX), (0, 0)] {
        let reply = bob.mark(one, until(asked)).await;
        assert_eq!(reply.code, 0, "{reply:?}");
        assert_eq!(laptop.item(one).await.muted_until_ms, told);
    }
    bob.mark(one, until(later)).await;
    // Pinned comes first, whatever else is newer, until it is taken back.
    let pin = |on| SetMarks { pinned: Some(on), ..SetMarks::default() };
    bob.mark(one, pin(true)).await;
    let items = laptop.inbox().await;
    assert_eq!(ids(&items), [one.as_str(), two]);
    assert!(items[0].pinned_ms.abs_diff(now_ms()) < 10_000);
    assert_eq!(items[0].muted_until_ms, later, "what was not named is as it was");
    bob.mark(one, pin(false)).await;
    assert_eq!(ids(&bob.inbox().await), [two.as_str(), one]);
    // Archived is out of sight, and stays so when a message comes.
    let archive = |on| SetMarks { archived: Some(on), ..SetMarks::default() };
    bob.mark(two, archive(true)).await;
    alice.say(two, "hello?").await;
    assert_eq!(ids(&bob.inbox().await), [one.as_str()]);
    let shelf = |shelf| List { shelf: shelf as i32, ..List::default() };
    assert_eq!(ids(&bob.inbox_page(shelf(Shelf::Archived)).await.items), [two.as_str()]);
    assert_eq!(ids(&bob.inbox_page(shelf(Shelf::All)).await.items), [two.as_str(), one]);
    assert!(bob.item(two).await.archived);
    bob.mark(two, archive(false)).await;
    // Marked unread until it is read.
    bob.read(one, 2).await;
    bob.mark(one, SetMarks { marked_unread: Some(true), ..SetMarks::default() }).await;
    let item = laptop.item(one).await;
    assert_eq!((item.marked_unread, item.unread), (true, 0));
    alice.say(one, "y").await;
    laptop.read(one, 3).await;
    assert!(!bob.item(one).await.marked_unread, "reading takes it back");
    // Nobody else has any of it.
    for cid in &cids {
        let item = alice.item(cid).await;
        assert_eq!((item.muted_until_ms, item.archived, item.pinned_ms), (0, false, 0));
    }
    let mut mallory = side.chat("mallory", "phone").await;
    let refused = mallory.mark(one, archive(true)).await;
    assert_eq!((refused.code, refused.items.len()), (0x87, 0), "{refused:?}");
    let refused = mallory.mark("AAAAAAAAAAAAAAAAAAAAAA", archive(true)).await;
    assert_eq!(refused.code, 0x87);
}

async fn an_inbox_comes_in_pages(side: Side<'_>) {
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut cids = Vec::new();
    for _ in 0..25 {
        let cid = side.group(&["alice", "bob"]).await;
        alice.say(&cid, "x").await;
        cids.push(cid);
        tick().await;
    }
    let pinned = [cids[3].clone(), cids[17].clone()];
    for cid in &pinned {
        let pin = SetMarks { pinned: Some(true), ..SetMarks::default() };
        assert_eq!(bob.mark(cid, pin).await.code, 0);
    }
    let mut expected: Vec<String> = vec![pinned[1].clone(), pinned[0].clone()];
    expected.extend(cids.iter().rev().filter(|cid| !pinned.contains(cid)).cloned());
    for limit in [1, 7, 25, 100] {
        let (mut found, mut after) = (Vec::new(), Vec::new());
        loop {
            let page = List { limit, after: after.into(), ..List::default() };
            let page = bob.inbox_page(page).await;
            assert!(page.items.len() <= limit as usize);
            found.extend(ids(&page.items));
            after = page.next.to_vec();
            if after.is_empty() {
                break;
            }
        }
        assert_eq!(found, expected, "each once, in pages of {limit}");
    }
    let bad = List { after: vec![1, 2, 3].into(), ..List::default() };
    let ask = Some(godwit_proto::inbox::v1::inbox_request::Ask::List(bad));
    let reply = bob.ask(godwit_proto::inbox::v1::InboxRequest { id: 0, ask }).await;
    assert_eq!((reply.code, reply.items.len()), (0x99, 0), "{reply:?}");
    let nothing = godwit_proto::inbox::v1::InboxRequest { id: 0, ask: None };
    assert_eq!(bob.ask(nothing).await.code, 0x99);
}

async fn leaving_and_coming_back_begins_anew(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    let bob_id = side.id("bob");
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let named = Send { mentions: vec![bob_id.clone()], ..message("bob?") };
    alice.accepted(&cid, named).await;
    bob.read(&cid, 1).await;
    bob.mark(&cid, SetMarks { pinned: Some(true), ..SetMarks::default() }).await;
    alice.changed(&cid, remove(&[&bob_id])).await;
    assert!(bob.inbox().await.is_empty());
    alice.say_many(&cid, "without bob", 3).await;
    alice.changed(&cid, add(&[&bob_id], Role::Member)).await;
    alice.say(&cid, "with bob").await;
    let item = bob.item(&cid).await;
    assert_eq!((item.unread, item.mentions, item.read, item.pinned_ms), (1, 0, 0, 0));
    assert_eq!(item.visible_seq, 6);
}

/// The same item over REST, reduced to what both show.
fn rest_item(item: &Value) -> Value {
    let fields = [
        "id",
        "title",
        "members",
        "head",
        "group_version",
        "tag",
        "visible_seq",
        "active_ms",
        "unread",
        "mentions",
        "delivered",
        "read",
        "archived",
        "marked_unread",
        "preview_cut",
    ];
    let mut shown: serde_json::Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), item[field].clone())).collect();
    for field in ["muted_until_ms", "pinned_ms"] {
        shown.insert(field.to_owned(), item[field].as_u64().unwrap_or(0).into());
    }
    shown.insert("direct".to_owned(), (item["kind"] == "direct").into());
    shown.insert("peer".to_owned(), item["peer"].as_str().unwrap_or_default().into());
    let preview = &item["preview"];
    let text = preview["text"].as_str().unwrap_or_default();
    shown.insert("preview".to_owned(), json!([preview["seq"], text, preview["body_gone"]]));
    Value::Object(shown)
}

fn mqtt_item(item: &Item) -> Value {
    let change = |kind| matches!(kind, EntryType::Membership | EntryType::Details);
    let preview = item.preview.as_ref().map(|entry| {
        let text =
            if change(entry.r#type()) { "" } else { std::str::from_utf8(&entry.body).unwrap() };
        json!([entry.seq, text, entry.body_gone])
    });
    json!({
        "id": cid_text(&item.conversation_id), "title": item.title, "members": item.members,
        "head": item.head_seq, "group_version": item.group_version, "tag": item.tag,
        "visible_seq": item.visible_seq, "active_ms": item.active_ms, "unread": item.unread,
        "mentions": item.mentions, "delivered": item.delivered, "read": item.read,
        "archived": item.archived, "marked_unread": item.marked_unread,
        "preview_cut": item.preview_cut, "muted_until_ms": item.muted_until_ms,
        "pinned_ms": item.pinned_ms, "direct": item.direct, "peer": item.peer,
        "preview": preview.unwrap_or_else(|| json!([null, "", null])),
    })
}

async fn rest_shows_the_same(side: Side<'_>) {
    let (one, two) = (side.group(&["alice", "bob"]).await, side.direct("alice", "bob").await);
    let three = side.group(&["alice", "bob"]).await;
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    alice.say_many(&one, "n", 5).await;
    let named = Send { mentions: vec![side.id("bob")], ..message("you") };
    alice.accepted(&two, named).await;
    alice.accepted(&one, about(EntryType::Edit, 6, "edited")).await;
    let title = Details { title: Some("Trip".to_owned()), ..Details::default() };
    alice.changed(&three, chat::details(title, None)).await;
    let rest = side.rest("bob").await;
    // Said by REST, seen by MQTT, and the other way round.
    let until = now_ms() + 60_000;
    let marks = json!({ "pinned": true, "muted_until_ms": until, "marked_unread": true });
    rest.patch(&format!("/v1/inbox/{two}"), &marks).await.expect(200);
    bob.mark(&one, SetMarks { archived: Some(true), ..SetMarks::default() }).await;
    let own = rest.post(&format!("/v1/conversations/{one}/receipts"), &json!({ "read": 4 })).await;
    let own = own.expect(200);
    assert_eq!((&own["read"], own["delivered"].as_u64() >= Some(4)), (&json!(4), true));
    // What has arrived is noted a moment after it has.
    for (cid, seq) in [(&one, 7), (&two, 2), (&three, 2)] {
        while bob.entry(cid).await.seq < seq {}
        godwit_testkit::until("the delivery to be noted", async || {
            let shown = rest.get(&format!("/v1/inbox/{cid}")).await.expect(200);
            (shown["delivered"] == seq).then_some(())
        })
        .await;
    }
    for (shelf, name) in [(Shelf::Open, "open"), (Shelf::Archived, "archived"), (Shelf::All, "all")]
    {
        let page = bob.inbox_page(List { shelf: shelf as i32, ..List::default() }).await;
        let by_mqtt: Vec<Value> = page.items.iter().map(mqtt_item).collect();
        let by_rest = rest.get(&format!("/v1/inbox?shelf={name}")).await.expect(200);
        let by_rest: Vec<Value> =
            by_rest["conversations"].as_array().expect("a list").iter().map(rest_item).collect();
        assert_eq!(by_mqtt, by_rest, "{name}");
    }
    let first = rest.get("/v1/inbox?limit=1&shelf=all").await.expect(200);
    let next = first["next"].as_str().expect("more");
    let second = rest.get(&format!("/v1/inbox?limit=1&shelf=all&cursor={next}")).await.expect(200);
    assert_eq!(first["conversations"][0]["id"], two.as_str());
    assert_ne!(second["conversations"][0]["id"], two.as_str());
    // Receipts over REST: those who share them.
    let list = rest.get(&format!("/v1/conversations/{one}/receipts")).await.expect(200);
    let own = list["receipts"]
        .as_array()
        .and_then(|all| all.iter().find(|r| r["user"] == side.id("bob")));
    assert_eq!(own.map(|r| r["read"].clone()), Some(json!(4)));
    assert_eq!(member(&bob.look(&one).await, &side.id("bob")).read, 4);
    let beyond = json!({ "read": 99 });
    let refused = rest.post(&format!("/v1/conversations/{one}/receipts"), &beyond).await;
    assert_eq!(refused.problem(400), "bad_request");
    let stranger = side.rest("mallory").await;
    assert_eq!(stranger.get(&format!("/v1/inbox/{one}")).await.problem(404), "not_found");
}
