//! Back after a long time: heads first, then pages on demand, from either end.

use std::collections::HashMap;

use godwit_proto::conversation::v1::{Details, Entry, EntryType, Role};
use godwit_proto::group::v1::GroupRequest;
use godwit_proto::inbox::v1::List;
use godwit_proto::sync::v1::{HistoryReply, HistoryRequest, SyncReply, SyncRequest};
use godwit_testkit::chat::{Chat, add, cid_bytes, cid_text, details, message};
use godwit_testkit::server::Options;

use super::side::Side;

in_both_versions!(
    heads_first_then_pages_on_demand,
    a_range_is_read_from_either_end,
    a_page_is_bounded_in_bytes,
    divergence_is_told,
    a_device_that_joins_later_finds_everything,
    what_cannot_be_asked_has_a_code,
);

in_both_versions!(with narrow: a_reply_waits_for_room);

/// A device that does not confirm has soon no room left.
fn narrow() -> Options {
    Options::default()
        .with("GODWIT__LIMITS__INFLIGHT_DEFAULT", "8")
        .with("GODWIT__LIMITS__INFLIGHT_MAX", "8")
        .with("GODWIT__LIMITS__QUEUE_DELIVERIES_MAX", "16")
}

async fn sync(chat: &mut Chat, cid: &str, after: u64, chain: &[u8]) -> SyncReply {
    chat.ask(SyncRequest {
        conversation_id: cid_bytes(cid).into(),
        after_seq: after,
        after_chain: chain.to_vec().into(),
        ..SyncRequest::default()
    })
    .await
}

fn range(cid: &str, after: u64, before: u64, limit: u32, newest_first: bool) -> HistoryRequest {
    HistoryRequest {
        id: 0,
        conversation_id: cid_bytes(cid).into(),
        after_seq: after,
        before_seq: before,
        limit,
        newest_first,
    }
}

fn seqs(reply: &HistoryReply) -> Vec<u64> {
    assert_eq!(reply.code, 0, "{reply:?}");
    reply.entries.iter().map(|entry| entry.seq).collect()
}

async fn heads_first_then_pages_on_demand(side: Side<'_>) {
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut held: HashMap<String, (u64, Vec<u8>)> = HashMap::new();
    for n in 0..7 {
        let cid = side.group(&["alice", "bob"]).await;
        alice.say_many(&cid, "before", n).await;
        let mut place = (0, vec![0; 8]);
        // Behind the creation.
        for _ in 0..=n {
            let entry = bob.entry(&cid).await;
            place = (entry.seq, entry.chain.to_vec());
        }
        held.insert(cid, place);
    }
    bob.disconnect().await;
    // A long absence: some conversations grow, one is new, others rest.
    let mut grown: Vec<String> = held.keys().take(3).cloned().collect();
    for cid in &grown {
        alice.say_many(cid, "missed", 230).await;
    }
    let new = side.group(&["alice", "bob"]).await;
    alice.say_many(&new, "missed", 130).await;
    grown.push(new);
    grown.sort();

    let mut bob = side.chat_for("bob", "phone", &["q/#"]).await;
    let mut changed = Vec::new();
    let mut after = Vec::new();
    loop {
        let page =
            SyncRequest { limit: 3, after_conversation_id: after.into(), ..SyncRequest::default() };
        let reply = bob.ask(page).await;
        assert_eq!(reply.code, 0, "{reply:?}");
        assert!(reply.heads.len() <= 3);
        for head in &reply.heads {
            let cid = cid_text(&head.conversation_id);
            let place = held.get(&cid).cloned().unwrap_or((0, vec![0; 8]));
            if head.head_seq > place.0 {
                changed.push(cid);
            } else {
                assert_eq!((head.head_seq, head.head_chain.to_vec()), place, "rests");
            }
        }
        after = reply.heads.last().map(|head| head.conversation_id.to_vec()).unwrap_or_default();
        if !reply.more {
            break;
        }
    }
    changed.sort();
    assert_eq!(changed, grown, "the heads name what has grown, and nothing else");
    // Two of them oldest first from the held place, proven by the chain; the others newest first.
    for (n, cid) in changed.iter().enumerate() {
        let (seq, chain) = held.get(cid).cloned().unwrap_or_default();
        let missed = if n % 2 == 0 {
            oldest_first(&mut bob, cid, seq, chain).await
        } else {
            newest_first(&mut bob, cid, seq).await
        };
        let places: Vec<u64> = missed.iter().map(|entry| entry.seq).collect();
        let head = bob.item(cid).await.head_seq;
        assert_eq!(places, (seq + 1..=head).collect::<Vec<_>>(), "whole, and each once");
        // Of the new one also how it began.
        let messages = missed.iter().filter(|entry| entry.number > 0);
        for (at, entry) in messages.enumerate() {
            assert_eq!(entry.body, format!("missed-{at}"));
        }
    }
}

async fn oldest_first(chat: &mut Chat, cid: &str, mut seq: u64, mut chain: Vec<u8>) -> Vec<Entry> {
    let mut found = Vec::new();
    loop {
        let reply = sync(chat, cid, seq, &chain).await;
        assert_eq!((reply.code, reply.diverged), (0, false));
        let Some(last) = reply.entries.last() else { return found };
        (seq, chain) = (last.seq, last.chain.to_vec());
        found.extend(reply.entries);
        if seq == reply.head_seq {
            return found;
        }
    }
}

async fn newest_first(chat: &mut Chat, cid: &str, held: u64) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    let mut before = 0;
    loop {
        let reply = chat.ask(range(cid, held, before, 0, true)).await;
        assert_eq!(reply.code, 0);
        before = reply.entries.last().map_or(0, |entry| entry.seq);
        found.extend(reply.entries);
        if !reply.more {
            found.reverse();
            return found;
        }
    }
}

async fn a_range_is_read_from_either_end(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    let mut alice = side.chat("alice", "phone").await;
    alice.say_many(&cid, "n", 119).await;
    let mut bob = side.chat_for("bob", "phone", &["q/#"]).await;
    let up = |from: u64, to: u64| (from..=to).collect::<Vec<_>>();
    let down = |from: u64, to: u64| (to..=from).rev().collect::<Vec<_>>();
    // after, before, limit, newest first; the places, more
    let table = [
        ((0, 0, 0, false), up(1, 100), true),
        ((0, 0, 0, true), down(120, 21), true),
        ((0, 0, 1000, false), up(1, 100), true),
        ((100, 0, 0, false), up(101, 120), false),
        ((0, 21, 0, true), down(20, 1), false),
        ((10, 15, 0, false), up(11, 14), false),
        ((10, 15, 0, true), down(14, 11), false),
        ((10, 15, 2, false), up(11, 12), true),
        ((10, 15, 2, true), down(14, 13), true),
        ((10, 15, 4, true), down(14, 11), false),
        ((14, 15, 0, false), vec![], false),
        ((15, 10, 0, false), vec![], false),
        ((120, 0, 0, false), vec![], false),
        ((99_999, 0, 0, true), vec![], false),
        ((118, 99_999, 0, true), down(120, 119), false),
    ];
    for ((after, before, limit, newest), places, more) in table {
        let reply = bob.ask(range(&cid, after, before, limit, newest)).await;
        let what = format!("after {after}, before {before}, limit {limit}, newest {newest}");
        assert_eq!((seqs(&reply), reply.more), (places, more), "{what}");
        assert_eq!((reply.head_seq, reply.visible_seq), (120, 0), "{what}");
        assert_eq!(reply.conversation_id, cid_bytes(&cid), "{what}");
    }
    // What is not to be seen is no part of any range.
    let carol_id = side.id("carol");
    alice.changed(&cid, add(&[&carol_id], Role::Member)).await;
    alice.say_many(&cid, "later", 3).await;
    let mut carol = side.chat_for("carol", "phone", &["q/#"]).await;
    for newest in [false, true] {
        let reply = carol.ask(range(&cid, 0, 0, 0, newest)).await;
        let mut places = seqs(&reply);
        places.sort_unstable();
        assert_eq!((places, reply.more), (up(121, 124), false));
        assert_eq!((reply.visible_seq, reply.head_seq), (120, 124));
        let reply = carol.ask(range(&cid, 0, 100, 0, newest)).await;
        assert_eq!((seqs(&reply), reply.more), (vec![], false));
    }
    assert_eq!(sync(&mut carol, &cid, 0, &[]).await.entries[0].seq, 121);
}

async fn a_page_is_bounded_in_bytes(side: Side<'_>) {
    let cid = side.direct("alice", "bob").await;
    let mut alice = side.chat("alice", "phone").await;
    for n in 0..7 {
        let body = n.to_string().repeat(200 * 1024);
        alice.accepted(&cid, message(&body)).await;
    }
    let mut bob = side.chat_for("bob", "phone", &["q/#"]).await;
    for newest in [false, true] {
        let (mut after, mut before, mut found, mut pages) = (0, 0, Vec::new(), 0);
        loop {
            let reply = bob.ask(range(&cid, after, before, 0, newest)).await;
            let bytes: usize = reply.entries.iter().map(|entry| entry.body.len()).sum();
            assert!(bytes <= 1024 * 1024 && !reply.entries.is_empty(), "{bytes} bytes");
            let last = reply.entries.last().map_or(0, |entry| entry.seq);
            if newest {
                before = last;
            } else {
                after = last;
            }
            found.extend(seqs(&reply));
            pages += 1;
            if !reply.more {
                break;
            }
        }
        found.sort_unstable();
        assert_eq!(found, (1..=8).collect::<Vec<_>>());
        assert!(pages >= 2, "{pages} pages for 1.6 MB");
    }
}

async fn divergence_is_told(side: Side<'_>) {
    let cid = side.direct("alice", "bob").await;
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    alice.say_many(&cid, "n", 5).await;
    let mut chains = Vec::new();
    for _ in 0..5 {
        chains.push(bob.entry(&cid).await.chain);
    }
    let reply = sync(&mut bob, &cid, 4, &chains[2]).await;
    assert!(!reply.diverged && reply.entries.len() == 2, "{reply:?}");
    // Another chain at that place; the right chain at another; a place that is not there yet.
    for (after, chain) in [(4, &[7; 8][..]), (5, &chains[2]), (9, &chains[4])] {
        let reply = sync(&mut bob, &cid, after, chain).await;
        assert_eq!((reply.code, reply.diverged, reply.entries.len()), (0, true, 0), "{after}");
    }
    let reply = sync(&mut bob, &cid, 3, &[1, 2, 3]).await;
    assert_eq!(reply.code, 0x99, "a chain has 8 bytes: {reply:?}");
    // Told apart from the gap, it is read again from the start.
    assert_eq!(sync(&mut bob, &cid, 0, &[]).await.entries.len(), 6);
}

async fn a_device_that_joins_later_finds_everything(side: Side<'_>) {
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut cids = Vec::new();
    for n in 1..=3 {
        let cid = side.group(&["alice", "bob"]).await;
        alice.say_many(&cid, "old", n * 40 - 1).await;
        bob.read(&cid, 30).await;
        cids.push(cid);
    }
    // A new phone, and no other memory than the account.
    let mut fresh = side.chat("bob", "new-phone").await;
    let page = fresh.inbox_page(List { limit: 2, ..List::default() }).await;
    let next = List { limit: 2, after: page.next.clone(), ..List::default() };
    let rest = fresh.inbox_page(next).await;
    let items: Vec<_> = page.items.into_iter().chain(rest.items).collect();
    let found: Vec<String> = items.iter().map(|item| cid_text(&item.conversation_id)).collect();
    let expected: Vec<String> = cids.iter().rev().cloned().collect();
    assert_eq!((found, rest.next.is_empty()), (expected, true));
    for (item, count) in items.iter().zip([120, 80, 40]) {
        assert_eq!((item.head_seq, item.read, item.unread), (count, 30, count - 30));
        let cid = cid_text(&item.conversation_id);
        let all = newest_first(&mut fresh, &cid, 0).await;
        assert_eq!(all.len() as u64, count);
        assert_eq!(all[1].body, "old-0");
        assert_eq!(all.last().map(|entry| entry.chain.clone()), Some(item.head_chain.clone()));
    }
    // What comes from now on is pushed, and nothing of what was looked up.
    alice.say(&cids[0], "new").await;
    assert_eq!(fresh.hears(&cids[0], "new").await, 41);
    assert_eq!(fresh.left("m/"), Vec::<String>::new());
}

async fn what_cannot_be_asked_has_a_code(side: Side<'_>) {
    let cid = side.direct("alice", "bob").await;
    let mut alice = side.chat("alice", "phone").await;
    alice.say(&cid, "between us").await;
    let mut mallory = side.chat("mallory", "phone").await;
    let reply = mallory.ask(range(&cid, 0, 0, 0, false)).await;
    assert_eq!((reply.code, reply.entries.len(), reply.head_seq), (0x87, 0, 0), "{reply:?}");
    assert!(!reply.reason.is_empty());
    assert_eq!(sync(&mut mallory, &cid, 0, &[]).await.code, 0x87);
    assert!(mallory.ask(SyncRequest::default()).await.heads.is_empty());
    for id in [&b""[..], b"short", &[1; 17]] {
        let asked = HistoryRequest { conversation_id: id.to_vec().into(), ..Default::default() };
        let reply = alice.ask(asked).await;
        assert_eq!((reply.code, reply.entries.len()), (0x99, 0), "{id:?}: {reply:?}");
    }
    let asked = SyncRequest { after_conversation_id: vec![1, 2].into(), ..SyncRequest::default() };
    assert_eq!(alice.ask(asked).await.code, 0x99);
    let nowhere = "AAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(alice.ask(range(nowhere, 0, 0, 0, true)).await.code, 0x87);
}

/// A request is answered by a device's queue that is full: what was asked is done, so it is no
/// refusal, and 3.1.1 cannot be told to ask again. The reply comes when there is room.
async fn a_reply_waits_for_room(side: Side<'_>) {
    let mut phone = side.chat_for("alice", "phone", &["m/#", "q/#"]).await;
    let mut laptop = side.chat("alice", "laptop").await;
    let mut bob = side.chat("bob", "phone").await;
    let cid = side.group(&["alice", "bob"]).await;
    phone.entry_of(&cid, EntryType::Membership).await;
    laptop.entry_of(&cid, EntryType::Membership).await;
    phone.probe.eager = false;
    bob.say_many(&cid, "word", 40).await;
    for n in 0..40 {
        laptop.hears(&cid, &format!("word-{n}")).await;
    }
    let history = phone.start_ask(range(&cid, 0, 0, 3, true)).await;
    let set = Details { title: Some("Full".to_owned()), ..Details::default() };
    let groups = GroupRequest {
        cmid: "title".to_owned(),
        conversation_id: cid_bytes(&cid).into(),
        ask: Some(details(set, None)),
        ..GroupRequest::default()
    };
    let groups = phone.start_ask(groups).await;
    // It is done, whatever becomes of the reply.
    laptop.entry_of(&cid, EntryType::Details).await;
    phone.probe.fence().await;
    for n in 0..40 {
        // What has come already is confirmed as it is taken, the rest as it comes.
        phone.probe.eager = n >= 8;
        phone.hears(&cid, &format!("word-{n}")).await;
    }
    let found = phone.reply::<HistoryRequest>(history).await.expect("no refusal");
    assert_eq!((found.code, found.entries.len()), (0, 3), "{found:?}");
    let changed = phone.reply::<GroupRequest>(groups).await.expect("no refusal of what is done");
    assert_eq!(changed.code, 0, "{changed:?}");
}
