//! Messages that disappear: the body goes when due, from every device's view and from the store.

use std::time::Duration;

use godwit_proto::conversation::v1::{Details, Entry, EntryType, Send};
use godwit_proto::sync::v1::HistoryRequest;
use godwit_testkit::chat::{self, Chat, about, cid_bytes, message};
use godwit_testkit::server::Options;
use godwit_testkit::until;

use super::side::Side;

in_both_versions!(with each_second:
    a_message_disappears_when_it_says_so,
    a_conversations_setting_bounds_its_messages,
);

fn each_second() -> Options {
    Options::default().with("GODWIT__RETENTION__INTERVAL", "1s")
}

async fn log(chat: &mut Chat, cid: &str) -> Vec<Entry> {
    let conversation_id = cid_bytes(cid).into();
    chat.ask(HistoryRequest { conversation_id, ..HistoryRequest::default() }).await.entries
}

fn expiring(body: &str, expiry_s: u32) -> Send {
    Send { expiry_s, ..message(body) }
}

/// Waits until no row holds the text any more.
async fn gone(side: &Side<'_>, text: &str) {
    let store = side.world.server.store();
    until(&format!("{text} leaves the store"), async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        (store.bodies(text) == 0).then_some(())
    })
    .await;
}

async fn a_message_disappears_when_it_says_so(side: Side<'_>) {
    let (secret, kept) = (side.id("secret"), side.id("kept"));
    let edited = format!("edited-{secret}");
    let cid = side.direct("alice", "bob").await;
    let mut alice = side.chat("alice", "phone").await;
    let (away, _) = side.kept("bob", "tablet").await;
    away.disconnect().await;
    let mut bob = side.chat("bob", "phone").await;
    alice.accepted(&cid, expiring(&secret, 3)).await;
    alice.say(&cid, &kept).await;
    alice.accepted(&cid, about(EntryType::Edit, 2, &edited)).await;
    bob.accepted(&cid, about(EntryType::Reaction, 2, "+1")).await;
    let entry = bob.entry_of(&cid, EntryType::Message).await;
    assert_eq!(entry.body, secret);
    assert_eq!(entry.expires_ms, entry.time_ms + 3000);
    assert_eq!(bob.entry(&cid).await.expires_ms, 0);
    let edit = bob.entry_of(&cid, EntryType::Edit).await;
    assert_eq!((edit.body, edit.expires_ms), (edited.clone().into(), entry.expires_ms));
    // The time itself is what is tested.
    tokio::time::sleep(Duration::from_millis(3100)).await;
    // Nobody is given the body from the moment when it is due, whether the store is cleaned or not.
    let bare: Vec<_> =
        log(&mut bob, &cid).await.into_iter().map(|e| (e.seq, e.body_gone)).collect();
    assert_eq!(bare, [(1, false), (2, true), (3, false), (4, true), (5, true)]);
    let refused = alice.send(&cid, about(EntryType::Edit, 2, "once more")).await;
    assert_eq!(refused.code, 0x99, "{refused:?}");
    gone(&side, &secret).await;
    assert_eq!(side.world.server.store().bodies(&kept), 1);
    // The device that was away finds the places, and not what stood there.
    let (mut away, present) = side.kept("bob", "tablet").await;
    assert!(present);
    let entry = away.entry(&cid).await;
    assert_eq!((entry.seq, entry.body_gone, entry.body.len()), (2, true, 0));
    assert_eq!(away.hears(&cid, &kept).await, 3);
    for (seq, kind) in [(4, EntryType::Edit), (5, EntryType::Reaction)] {
        let entry = away.entry_of(&cid, kind).await;
        assert_eq!((entry.seq, entry.body.len()), (seq, 0));
    }
}

async fn a_conversations_setting_bounds_its_messages(side: Side<'_>) {
    let (early, fleeting) = (side.id("early"), side.id("fleeting"));
    let cid = side.group(&["alice", "bob"]).await;
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    alice.say(&cid, &early).await;
    let setting = |seconds| Details { expiry_s: Some(seconds), ..Details::default() };
    let (group, _) = alice.changed(&cid, chat::details(setting(2), None)).await;
    assert_eq!(group.expiry_s, 2);
    bob.hears(&cid, &early).await;
    let told = bob.entry_of(&cid, EntryType::Details).await.details.expect("the details");
    assert_eq!((told.expiry_s, told.title), (Some(2), None));
    // asked for, what becomes of it
    for (asked, lives_ms) in [(0, 2000), (60, 2000), (1, 1000)] {
        alice.accepted(&cid, expiring(&fleeting, asked)).await;
        let entry = bob.entry_of(&cid, EntryType::Message).await;
        assert_eq!(entry.expires_ms - entry.time_ms, lives_ms, "{asked} s were asked for");
    }
    let group = alice.changed(&cid, chat::details(setting(0), None)).await.0;
    assert_eq!(group.expiry_s, 0);
    let kept = side.id("kept");
    alice.say(&cid, &kept).await;
    gone(&side, &fleeting).await;
    let store = side.world.server.store();
    assert_eq!((store.bodies(&early), store.bodies(&kept)), (1, 1), "only what was due");
    // The places stay, but what cannot be read is not unread.
    assert_eq!(bob.item(&cid).await.unread, 2);
    let gone: Vec<_> = log(&mut bob, &cid).await.iter().map(|entry| entry.body_gone).collect();
    assert_eq!(gone, [false, false, false, true, true, true, false, false]);
    // The preview is the last message; were it gone, there would be no body in the inbox either.
    alice.accepted(&cid, expiring(&side.id("last"), 1)).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let preview = bob.item(&cid).await.preview.expect("the last message");
    assert_eq!((preview.body_gone, preview.body.len()), (true, 0));
}
