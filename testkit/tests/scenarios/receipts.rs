//! How far people have got: delivered by their PUBACKs, read by what they say; never back.

use godwit_proto::conversation::v1::Role;
use godwit_proto::group::v1::Group;
use godwit_proto::receipt::v1::{Receipt, Receipts, UserReceipt};
use godwit_testkit::chat::{Chat, add, cid_bytes, remove};
use godwit_testkit::wire::{self, Version};
use prost::Message as _;

use super::groups::member;
use super::side::Side;

in_both_versions!(
    delivered_comes_from_the_puback,
    a_thousand_read_are_one_receipt,
    read_by_three_of_twelve,
    cursors_never_go_back,
    a_report_is_taken_whole_or_not_at_all,
    who_hides_reading_is_not_seen_reading,
    two_devices_of_one_person_read_as_one,
);

/// Where a member's cursors stand, as asked of the server.
fn cursors(group: &Group, user: &str) -> (u64, u64) {
    let member = member(group, user);
    (member.delivered, member.read)
}

fn told(receipt: &UserReceipt) -> (u64, u64) {
    (receipt.delivered, receipt.read)
}

async fn delivered_comes_from_the_puback(side: Side<'_>) {
    let cid = side.group(&["alice", "bob", "carol"]).await;
    let (bob_id, carol_id) = (side.id("bob"), side.id("carol"));
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut carol = side.chat("carol", "phone").await;
    let seq = alice.say(&cid, "are you there?").await;
    // It has arrived at bob's, but bob's device has not said so.
    bob.probe.acknowledge = false;
    let held = bob.probe.recv_at(&format!("m/{cid}")).await;
    carol.hears(&cid, "are you there?").await;
    let receipt = alice.receipt(&cid, &carol_id, |r| r.delivered == seq).await;
    assert_eq!(told(&receipt), (seq, 0));
    assert_eq!(cursors(&alice.look(&cid).await, &bob_id), (0, 0), "sent, not delivered");
    bob.probe.write(&wire::puback(held.packet_id)).await;
    let receipt = alice.receipt(&cid, &bob_id, |r| r.delivered == seq).await;
    assert_eq!(told(&receipt), (seq, 0), "delivered, not read");
    bob.probe.acknowledge = true;
    bob.read(&cid, seq).await;
    let receipt = alice.receipt(&cid, &bob_id, |r| r.read == seq).await;
    assert_eq!(told(&receipt), (seq, seq));
    // Who sends has read up to there.
    assert_eq!(cursors(&alice.look(&cid).await, &side.id("alice")), (seq, seq));
}

async fn a_thousand_read_are_one_receipt(side: Side<'_>) {
    const COUNT: usize = 1000;
    let cid = side.direct("alice", "bob").await;
    let bob_id = side.id("bob");
    let mut alice = side.chat_for("alice", "phone", &["a", "r/#", "q/#"]).await;
    let mut laptop = side.chat_for("alice", "laptop", &["r/#"]).await;
    // bob's device reads by other ways than m/, so no PUBACK says anything before.
    let mut bob = side.chat_for("bob", "phone", &["a", "r/#", "q/#"]).await;
    alice.say_many(&cid, "n", COUNT).await;
    let each: Vec<_> = (1..=COUNT as u64).map(|seq| (cid.as_str(), 0, seq)).collect();
    assert_eq!(bob.report(&each).await.code, 0);
    for device in [&mut alice, &mut laptop] {
        let receipts = device.receipts(&cid).await;
        assert_eq!(receipts.len(), 1);
        assert_eq!((receipts[0].user.as_str(), told(&receipts[0])), (&*bob_id, (1000, 1000)));
    }
    // The same as a thousand publishes, as fast as they can be written, of another conversation.
    let cid = side.group(&["alice", "bob"]).await;
    alice.say_many(&cid, "n", COUNT).await;
    let (window, begin) = (50, std::time::Instant::now());
    for first in (0..COUNT as u64).step_by(window) {
        let mut packets = Vec::new();
        for seq in first + 1..=first + window as u64 {
            let receipt = Receipt {
                conversation_id: cid_bytes(&cid).into(),
                read: seq,
                ..Receipt::default()
            };
            let payload = Receipts { receipts: vec![receipt] }.encode_to_vec();
            packets.push(bob.probe.start_publish("r", &payload, wire::Properties::none()).await);
        }
        for packet in packets {
            assert_eq!(bob.probe.answer(packet).await.code, 0);
        }
    }
    for device in [&mut alice, &mut laptop] {
        let mut packets = 0;
        let mut read = 0;
        while read < COUNT as u64 {
            let receipts = device.receipts(&cid).await;
            assert_eq!(receipts.len(), 1, "one for each user");
            assert!(receipts[0].read > read, "never back: {receipts:?} after {read}");
            (read, packets) = (receipts[0].read, packets + 1);
        }
        // What comes within a delay of 200 ms is one.
        let most = 2 + begin.elapsed().as_millis() / 200;
        assert!(packets <= most, "{packets} packets for {COUNT} reports, {most} at most");
    }
    assert_eq!(laptop.left("r/"), Vec::<String>::new());
}

async fn read_by_three_of_twelve(side: Side<'_>) {
    let names: Vec<String> = (0..12).map(|n| format!("p{n}-")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let cid = side.group(&names).await;
    let mut author = side.chat(names[0], "phone").await;
    let mut others = Vec::new();
    for name in &names[1..] {
        others.push(side.chat(name, "phone").await);
    }
    let seq = author.say(&cid, "who has read this?").await;
    for (n, other) in others.iter_mut().enumerate() {
        other.hears(&cid, "who has read this?").await;
        if n < 3 {
            other.read(&cid, seq).await;
        }
    }
    let count = |group: &Group| {
        let reached = |member: &&godwit_proto::group::v1::Member| member.user != side.id(names[0]);
        let members = group.members.iter().filter(reached);
        let delivered = members.clone().filter(|member| member.delivered >= seq).count();
        (delivered, members.filter(|member| member.read >= seq).count())
    };
    // Told on r/{cid}, in as many pieces as it took; then the same by asking.
    let mut newest = std::collections::HashMap::new();
    while newest.values().filter(|r: &&UserReceipt| r.delivered >= seq).count() < 11
        || newest.values().filter(|r| r.read >= seq).count() < 3
    {
        for receipt in author.receipts(&cid).await {
            newest.insert(receipt.user.clone(), receipt);
        }
    }
    assert_eq!(count(&author.look(&cid).await), (11, 3));
    assert_eq!(count(&others[7].look(&cid).await), (11, 3), "the same for every member");
}

async fn cursors_never_go_back(side: Side<'_>) {
    let cid = side.direct("alice", "bob").await;
    let bob_id = side.id("bob");
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat_for("bob", "phone", &["a", "q/#"]).await;
    alice.say_many(&cid, "n", 9).await;
    // reported (delivered, read), then (delivered, read)
    let table = [
        ((5, 0), (5, 0)),
        ((0, 3), (5, 3)),
        ((4, 2), (5, 3)),
        ((0, 7), (7, 7)),
        ((6, 0), (7, 7)),
        ((0, 0), (7, 7)),
        ((9, 8), (9, 8)),
    ];
    let mut last = (0, 0);
    for ((delivered, read), expected) in table {
        assert_eq!(bob.report(&[(&cid, delivered, read)]).await.code, 0);
        assert_eq!(cursors(&bob.look(&cid).await, &bob_id), expected, "{delivered}, {read}");
        if expected != last {
            let receipt = alice.receipt(&cid, &bob_id, |_| true).await;
            assert_eq!(told(&receipt), expected);
        }
        last = expected;
    }
    assert_eq!(alice.left("r/"), Vec::<String>::new(), "what did not move was not told");
    // Someone who was away learns them by asking.
    let mut late = side.chat("alice", "laptop").await;
    assert_eq!(cursors(&late.look(&cid).await, &bob_id), (9, 8));
}

async fn a_report_is_taken_whole_or_not_at_all(side: Side<'_>) {
    let (one, other) = (side.direct("alice", "bob").await, side.group(&["alice", "bob"]).await);
    let left = side.group(&["alice", "bob"]).await;
    let bob_id = side.id("bob");
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat_for("bob", "phone", &["a", "q/#"]).await;
    for cid in [&one, &other, &left] {
        alice.say_many(cid, "n", 3).await;
    }
    alice.changed(&left, remove(&[&bob_id])).await;
    let elsewhere = "AAAAAAAAAAAAAAAAAAAAAA";
    let table = [
        ("beyond the head", vec![(one.as_str(), 0, 3), (&other, 0, 5)], 0x99),
        ("delivered beyond the head", vec![(&one, 0, 3), (&other, 5, 0)], 0x99),
        ("for what one has left", vec![(&one, 0, 3), (&left, 0, 2)], 0x87),
        ("for what is not one's own", vec![(&one, 0, 3), (elsewhere, 0, 1)], 0x87),
        ("1,001 at once", vec![(&one, 0, 3); 1001], 0x99),
    ];
    for (what, places, code) in table {
        let answer = bob.report(&places).await;
        refused(&mut bob, &answer, code, what).await;
    }
    for payload in [&b"\xff\xff"[..], &[0x0a, 0x04, 0x0a, 0x02, 1, 2]] {
        let answer = bob.probe.publish("r", payload).await;
        refused(&mut bob, &answer, 0x99, "no receipts").await;
    }
    for cid in [&one, &other] {
        assert_eq!(cursors(&bob.look(cid).await, &bob_id), (0, 0), "nothing half done");
    }
    // The next good one is taken, and a conversation may stand twice in it.
    assert_eq!(bob.report(&[(&one, 0, 1), (&other, 0, 2), (&one, 3, 2)]).await.code, 0);
    assert_eq!(cursors(&bob.look(&one).await, &bob_id), (3, 2));
    assert_eq!(cursors(&bob.look(&other).await, &bob_id), (2, 2));
    // Whoever comes back begins anew.
    alice.changed(&left, add(&[&bob_id], Role::Member)).await;
    assert_eq!(cursors(&bob.look(&left).await, &bob_id), (0, 0));
}

/// A refused report: by the PUBACK's code, or told on `a`.
async fn refused(chat: &mut Chat, answer: &godwit_testkit::probe::Answer, code: u8, what: &str) {
    if chat.version() == Version::V5 {
        assert_eq!(answer.code, code, "{what}: {answer:?}");
        assert!(answer.properties.text(wire::id::REASON).is_some(), "{what}: {answer:?}");
    }
    let fate = chat.stray_fate().await;
    assert_eq!((fate.code, fate.cmid.as_str()), (code.into(), ""), "{what}: {fate:?}");
    assert!(!fate.reason.is_empty(), "{what}");
}

async fn who_hides_reading_is_not_seen_reading(side: Side<'_>) {
    let cid = side.group(&["alice", "bob", "carol"]).await;
    let (bob_id, carol_id) = (side.id("bob"), side.id("carol"));
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut laptop = side.chat("bob", "laptop").await;
    let mut carol = side.chat_for("carol", "phone", &["a", "q/#"]).await;
    super::rest::share(&side, "bob", "share_reads", false).await;
    let seq = alice.say(&cid, "read it?").await;
    bob.hears(&cid, "read it?").await;
    laptop.hears(&cid, "read it?").await;
    alice.receipt(&cid, &bob_id, |r| told(r) == (seq, 0)).await;
    // bob reads. Not even that something of his has moved is told: carol's, later, comes alone.
    bob.read(&cid, seq).await;
    laptop.receipt(&cid, &bob_id, |r| r.read == seq).await;
    carol.read(&cid, seq).await;
    loop {
        let receipts = alice.receipts(&cid).await;
        let betrays = receipts.iter().any(|r| r.user == bob_id);
        assert!(!betrays, "bob hides it: {receipts:?}");
        if receipts.iter().any(|r| r.user == carol_id && r.read == seq) {
            break;
        }
    }
    let group = alice.look(&cid).await;
    assert_eq!(cursors(&group, &bob_id), (seq, 0), "delivered, and no more is told");
    // His own devices know, and so does his inbox.
    assert_eq!(cursors(&laptop.look(&cid).await, &bob_id), (seq, seq));
    assert_eq!(laptop.item(&cid).await.unread, 0);
    // Shared again, what he reads is told.
    super::rest::share(&side, "bob", "share_reads", true).await;
    let next = alice.say(&cid, "and this?").await;
    bob.hears(&cid, "and this?").await;
    bob.read(&cid, next).await;
    let receipt = alice.receipt(&cid, &bob_id, |r| r.read > 0).await;
    assert_eq!(receipt.read, next);
}

async fn two_devices_of_one_person_read_as_one(side: Side<'_>) {
    let cid = side.direct("alice", "bob").await;
    let bob_id = side.id("bob");
    let mut alice = side.chat("alice", "phone").await;
    let mut phone = side.chat_for("bob", "phone", &["a", "r/#", "q/#"]).await;
    let mut laptop = side.chat_for("bob", "laptop", &["a", "r/#", "q/#"]).await;
    alice.say_many(&cid, "n", 40).await;
    let reading = async |chat: &mut Chat, places: [u64; 4]| {
        for seq in places {
            chat.read(&cid, seq).await;
        }
    };
    tokio::join!(reading(&mut phone, [10, 20, 5, 30]), reading(&mut laptop, [15, 12, 35, 25]),);
    let mut last = 0;
    while last < 35 {
        let receipt = alice.receipt(&cid, &bob_id, |_| true).await;
        assert!(receipt.read >= last, "never back");
        last = receipt.read;
    }
    // Each device knows how far the other has read; what it said itself it is not told.
    phone.receipt(&cid, &bob_id, |r| r.read == 35).await;
    phone.read(&cid, 38).await;
    laptop.receipt(&cid, &bob_id, |r| r.read == 38).await;
    for chat in [&mut phone, &mut laptop] {
        assert_eq!(chat.item(&cid).await.unread, 3);
    }
}
