//! [`Inboxes::inbox`](crate::inbox::Inboxes::inbox) and what it shows, marks, and pins.

use super::support::{
    NOW, about, add, change, changed, cid, commit, conversation, direct, group, inbox, item,
    place_of, reached, remove, report, say, send, user,
};
use crate::change::{Ask, ChangeRequest, DetailsChange};
use crate::commit::{Act, Send};
use crate::entry::EntryKind;
use crate::ids::{ConversationId, Seq};
use crate::inbox::{InboxPage, InboxQuery, Item, Marks, MarksChange, Shelf};
use crate::limits::INBOX_PAGE_MAX;
use crate::membership::{ConversationKind, History, Role};
use crate::receipt::Cursors;
use crate::store::{Prune, Store};

async fn mark(store: &dyn Store, who: &str, id: ConversationId, change: MarksChange) -> Marks {
    store.change_marks(&user(who), id, &change).await.unwrap().unwrap()
}

fn pinned(at_ms: Option<u64>) -> MarksChange {
    MarksChange { pinned_ms: Some(at_ms), ..MarksChange::default() }
}

fn archived(on: bool) -> MarksChange {
    MarksChange { archived: Some(on), ..MarksChange::default() }
}

fn ids(items: &[Item]) -> Vec<ConversationId> {
    items.iter().map(|item| item.conversation).collect()
}

/// A message so many milliseconds after [`NOW`].
async fn say_at(store: &dyn Store, number: u8, after_ms: u64) {
    let key = format!("at-{after_ms}");
    let send = Send { time_ms: NOW + after_ms, ..send(cid(number), "alice:d", &key) };
    place_of(store, send).await;
}

/// Every field of an item, for a group and for a direct conversation.
pub async fn an_item_says_all_of_its_conversation(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let set = DetailsChange { title: Some("Trip".to_owned()), ..DetailsChange::default() };
    changed(store, cid(1), Ask::Details { set, based_on: None }).await;
    changed(store, cid(1), add(&["carol"])).await;
    say_at(store, 1, 7).await;
    report(store, "carol", &[reached(cid(1), 2, 0)]).await.unwrap();
    let now = conversation(store, cid(1)).await;
    let preview = super::support::log_above(store, cid(1), 2).await.remove(0);
    let expected = Item {
        conversation: cid(1),
        kind: ConversationKind::Group,
        title: "Trip".to_owned(),
        peer: None,
        members: 3,
        head_seq: Seq(3),
        head_chain: now.head_chain,
        group_version: 2,
        role: Role::Member,
        tag: 3,
        visible_seq: Seq(1),
        active_ms: NOW + 7,
        preview: Some(preview),
        unread: 1,
        mentions: 0,
        cursors: Cursors { delivered: Seq(2), read: Seq::ZERO },
        marks: Marks::default(),
    };
    assert_eq!(inbox(store, "carol").await, [expected]);
    let empty = item(store, "alice", cid(1)).await.unwrap();
    assert_eq!((empty.role, empty.tag, empty.visible_seq), (Role::Owner, 1, Seq::ZERO));
    let new = store.create(&direct(cid(2), "alice", "bob")).await.unwrap();
    for (who, peer) in [("alice", "bob"), ("bob", "alice")] {
        let item = item(store, who, cid(2)).await.unwrap();
        assert_eq!((item.kind, item.peer), (ConversationKind::Direct, Some(user(peer))));
        assert_eq!((item.members, item.preview, item.unread), (2, None, 0));
        assert_eq!(
            (item.head_chain, item.active_ms, item.title.as_str()),
            (new.head_chain, NOW, "")
        );
    }
}

/// Pinned first, then by activity, then by id, all falling; marks of others do not count.
pub async fn an_inbox_is_ordered_by_pin_activity_and_id(store: &dyn Store) {
    for number in [3, 0xff, 1, 5, 7] {
        group(store, cid(number), &["alice", "bob"]).await;
    }
    group(store, cid(9), &["bob"]).await;
    assert_eq!(ids(&inbox(store, "alice").await), [0xff, 7, 5, 3, 1].map(cid));
    say_at(store, 3, 10).await;
    say_at(store, 5, 20).await;
    say_at(store, 1, 10).await;
    assert_eq!(ids(&inbox(store, "alice").await), [5, 3, 1, 0xff, 7].map(cid));
    // When it was pinned does not matter; that it is, does.
    mark(store, "alice", cid(0xff), pinned(Some(NOW + 9))).await;
    mark(store, "alice", cid(1), pinned(Some(NOW + 1))).await;
    mark(store, "bob", cid(7), pinned(Some(NOW))).await;
    assert_eq!(ids(&inbox(store, "alice").await), [1, 0xff, 5, 3, 7].map(cid));
    mark(store, "alice", cid(1), pinned(None)).await;
    assert_eq!(ids(&inbox(store, "alice").await), [0xff, 5, 3, 1, 7].map(cid));
    changed(store, cid(5), remove(&["bob"])).await;
    assert!(!ids(&inbox(store, "bob").await).contains(&cid(5)));
    assert!(inbox(store, "eve").await.is_empty());
}

/// Pages follow each other without a gap over ties and over the pinned; `limit` is kept.
pub async fn an_inbox_is_paged(store: &dyn Store) {
    for number in 1..=11u8 {
        group(store, cid(number), &["alice"]).await;
        say_at(store, number, u64::from(number / 3)).await;
    }
    for number in [2, 9, 10] {
        mark(store, "alice", cid(number), pinned(Some(NOW))).await;
    }
    let whole = inbox(store, "alice").await;
    assert_eq!(ids(&whole), [10, 9, 2, 11, 8, 7, 6, 5, 4, 3, 1].map(cid));
    for limit in [1, 2, 3, 4, 10, 11] {
        let mut query = InboxQuery { limit, ..InboxQuery::default() };
        let mut read: Vec<Item> = Vec::new();
        loop {
            let page = store.inbox(&user("alice"), &query).await.unwrap();
            assert!(page.items.len() <= limit as usize);
            read.extend(page.items);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(read, whole, "in pages of {limit}");
    }
}

/// However many are asked for, a page has at most [`INBOX_PAGE_MAX`].
pub async fn a_page_of_an_inbox_is_bounded(store: &dyn Store) {
    for number in 0..INBOX_PAGE_MAX + 2 {
        group(store, cid(u8::try_from(number).unwrap()), &["alice"]).await;
    }
    let query = InboxQuery { limit: u32::MAX, ..InboxQuery::default() };
    let page = store.inbox(&user("alice"), &query).await.unwrap();
    assert_eq!(page.items.len(), INBOX_PAGE_MAX as usize);
    assert!(page.next.is_some());
    let query = InboxQuery { limit: 0, ..query };
    assert_eq!(store.inbox(&user("alice"), &query).await.unwrap(), InboxPage::default());
}

/// The archived stand apart and stay so when a message comes; `only` finds them anywhere.
pub async fn archived_conversations_have_a_shelf(store: &dyn Store) {
    for number in 1..=4 {
        group(store, cid(number), &["alice", "bob"]).await;
    }
    mark(store, "alice", cid(2), archived(true)).await;
    mark(store, "alice", cid(3), archived(true)).await;
    say_at(store, 2, 5).await;
    let shelf = async |who: &str, shelf| {
        let query = InboxQuery { shelf, limit: 10, ..InboxQuery::default() };
        ids(&store.inbox(&user(who), &query).await.unwrap().items)
    };
    assert_eq!(shelf("alice", Shelf::Open).await, [4, 1].map(cid));
    assert_eq!(shelf("alice", Shelf::Archived).await, [2, 3].map(cid));
    assert_eq!(shelf("alice", Shelf::All).await, [2, 4, 3, 1].map(cid));
    assert_eq!(shelf("bob", Shelf::Open).await, [2, 4, 3, 1].map(cid));
    assert!(item(store, "alice", cid(2)).await.unwrap().marks.archived);
    assert!(item(store, "alice", cid(4)).await.is_some());
    assert!(
        item(store, "eve", cid(4)).await.is_none() && item(store, "alice", cid(9)).await.is_none()
    );
    mark(store, "alice", cid(2), archived(false)).await;
    assert_eq!(shelf("alice", Shelf::Open).await, [2, 4, 1].map(cid));
}

/// What the last entry is that an inbox shows: an edited message with its new body, a deleted one
/// without any.
pub async fn a_preview_shows_what_became_of_it(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let preview = async || {
        let entry = item(store, "bob", cid(1)).await.unwrap().preview.unwrap();
        (entry.seq.0, String::from_utf8(entry.body.to_vec()).unwrap(), entry.body_gone)
    };
    place_of(store, send(cid(1), "alice:d", "a")).await;
    place_of(store, send(cid(1), "alice:d", "b")).await;
    let body = || "body of b".to_owned();
    assert_eq!(preview().await, (2, body(), false));
    place_of(store, about(cid(1), "alice:d", "other", Act::edit(Seq(1)))).await;
    place_of(store, about(cid(1), "bob:d", "heart", Act::React { target: Seq(2) })).await;
    assert_eq!(preview().await, (2, body(), false));
    place_of(store, about(cid(1), "alice:d", "once", Act::edit(Seq(2)))).await;
    place_of(store, about(cid(1), "alice:d", "twice", Act::edit(Seq(2)))).await;
    assert_eq!(preview().await, (2, "twice".to_owned(), false));
    let entry = item(store, "bob", cid(1)).await.unwrap().preview.unwrap();
    assert_eq!((entry.kind, entry.target, entry.number), (EntryKind::Message, None, 2));
    place_of(store, about(cid(1), "alice:d", "d", Act::Delete { target: Seq(2) })).await;
    assert_eq!(preview().await, (2, String::new(), true));
    let (joins, _) = changed(store, cid(1), add(&["carol"])).await;
    assert_eq!(item(store, "bob", cid(1)).await.unwrap().preview, Some(joins));
}

/// Who came later sees no preview of before; with the whole history open, it does.
pub async fn a_preview_is_the_users_to_see(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    say(store, cid(1), "alice:d", 1).await;
    changed(store, cid(1), add(&["bob"])).await;
    assert_eq!(item(store, "bob", cid(1)).await.unwrap().preview.unwrap().seq, Seq(2));
    // The body is gone by age: the entry stands there without it.
    say(store, cid(1), "alice:d", 1).await;
    let prune = Prune { now_ms: NOW, bodies_before_ms: Some(NOW + 1), rows_max: 100 };
    store.prune(prune).await.unwrap();
    let preview = item(store, "bob", cid(1)).await.unwrap().preview.unwrap();
    assert_eq!((preview.seq, preview.body.len(), preview.body_gone), (Seq(3), 0, true));
    let set = DetailsChange { history: Some(History::All), ..DetailsChange::default() };
    changed(store, cid(1), Ask::Details { set, based_on: None }).await;
    let (entry, _) = changed(store, cid(1), add(&["carol"])).await;
    let carol = item(store, "carol", cid(1)).await.unwrap();
    assert_eq!((carol.preview, carol.visible_seq, carol.unread), (Some(entry), Seq::ZERO, 0));
}

/// Messages of others above the read cursor, or above the join; one's own never, from whatever
/// device; other entries never.
pub async fn unread_is_what_others_said_since(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    say(store, cid(1), "alice:d", 3).await;
    changed(store, cid(1), add(&["carol"])).await;
    let unread = async || {
        let mut counts = Vec::new();
        for name in ["alice", "bob", "carol"] {
            counts.push(item(store, name, cid(1)).await.unwrap().unread);
        }
        counts
    };
    assert_eq!(unread().await, [0, 3, 0]);
    say(store, cid(1), "bob:e", 2).await;
    say(store, cid(1), "alice:x", 1).await;
    assert_eq!(unread().await, [2, 4, 3]);
    place_of(store, about(cid(1), "alice:d", "heart", Act::React { target: Seq(5) })).await;
    place_of(store, about(cid(1), "alice:d", "e", Act::edit(Seq(7)))).await;
    assert_eq!(unread().await, [2, 4, 3]);
    // Delivered is not read; reading up to an own message leaves nothing below it unread.
    report(store, "alice", &[reached(cid(1), 9, 0)]).await.unwrap();
    report(store, "bob", &[reached(cid(1), 0, 2)]).await.unwrap();
    assert_eq!(unread().await, [2, 2, 3]);
    report(store, "alice", &[reached(cid(1), 0, 5)]).await.unwrap();
    report(store, "bob", &[reached(cid(1), 0, 9)]).await.unwrap();
    // Below the join: the cursor says less than the join does.
    report(store, "carol", &[reached(cid(1), 0, 1)]).await.unwrap();
    assert_eq!(unread().await, [1, 0, 3]);
    // A deleted message keeps its number, and is nothing to be read.
    place_of(store, about(cid(1), "bob:d", "d", Act::Delete { target: Seq(6) })).await;
    assert_eq!(unread().await, [0, 0, 2]);
    // A second stay begins with nothing unread and no cursor.
    changed(store, cid(1), remove(&["bob"])).await;
    say(store, cid(1), "alice:d", 2).await;
    changed(store, cid(1), add(&["bob"])).await;
    assert_eq!(unread().await, [0, 0, 4]);
    say(store, cid(1), "carol:d", 1).await;
    assert_eq!(unread().await, [1, 1, 4]);
    assert_eq!(item(store, "bob", cid(1)).await.unwrap().cursors, Cursors::default());
}

/// Each mark changes alone and stays; who leaves loses them, a stranger has none.
pub async fn marks_are_the_users_own(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let marks = mark(store, "bob", cid(1), MarksChange::default()).await;
    assert_eq!(marks, Marks::default());
    let mute = MarksChange { muted_until_ms: Some(Some(u64::MAX)), ..MarksChange::default() };
    let unread = MarksChange { marked_unread: Some(true), ..MarksChange::default() };
    mark(store, "bob", cid(1), mute).await;
    mark(store, "bob", cid(1), unread).await;
    mark(store, "bob", cid(1), pinned(Some(NOW))).await;
    let all = mark(store, "bob", cid(1), archived(true)).await;
    // What lasts for good may be stored as the highest of a signed number.
    let forever = all.muted_until_ms.unwrap();
    assert!(forever >= i64::MAX as u64, "{forever}");
    let expected = Marks {
        muted_until_ms: Some(forever),
        archived: true,
        pinned_ms: Some(NOW),
        marked_unread: true,
    };
    assert_eq!(all, expected);
    assert_eq!(item(store, "bob", cid(1)).await.unwrap().marks, expected);
    assert_eq!(item(store, "alice", cid(1)).await.unwrap().marks, Marks::default());
    let until = MarksChange { muted_until_ms: Some(Some(NOW + 5)), ..archived(false) };
    assert_eq!(mark(store, "bob", cid(1), until).await.muted_until_ms, Some(NOW + 5));
    // Marks move no cursor, and cursors no other mark.
    assert_eq!(item(store, "bob", cid(1)).await.unwrap().cursors, Cursors::default());
    for id in [cid(1), cid(9)] {
        assert_eq!(store.change_marks(&user("eve"), id, &mute).await.unwrap(), None);
    }
    changed(store, cid(1), remove(&["bob"])).await;
    assert_eq!(store.change_marks(&user("bob"), cid(1), &mute).await.unwrap(), None);
    changed(store, cid(1), add(&["bob"])).await;
    assert_eq!(item(store, "bob", cid(1)).await.unwrap().marks, Marks::default());
}

/// Marked unread until the read cursor moves; one that does not move, or a delivery, changes nothing.
pub async fn reading_takes_the_unread_mark_off(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    say(store, cid(1), "alice:d", 3).await;
    let marked = async || item(store, "bob", cid(1)).await.unwrap().marks.marked_unread;
    report(store, "bob", &[reached(cid(1), 0, 2)]).await.unwrap();
    let unread = MarksChange { marked_unread: Some(true), ..pinned(Some(NOW)) };
    mark(store, "bob", cid(1), unread).await;
    report(store, "bob", &[reached(cid(1), 3, 2)]).await.unwrap();
    assert!(marked().await);
    report(store, "bob", &[reached(cid(1), 0, 3)]).await.unwrap();
    assert!(!marked().await);
    assert_eq!(item(store, "bob", cid(1)).await.unwrap().marks.pinned_ms, Some(NOW));
}

/// The newest pin of each message that was not unpinned since and is not gone, newest first.
pub async fn pins_are_those_not_taken_off(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    group(store, cid(2), &["alice"]).await;
    say(store, cid(2), "alice:d", 5).await;
    say(store, cid(1), "alice:d", 5).await;
    assert!(store.pins(cid(1), 10).await.unwrap().is_empty());
    let (pin, unpin) = (|t| Act::Pin { target: Seq(t) }, |t| Act::Unpin { target: Seq(t) });
    let acts = [pin(1), pin(2), pin(3), unpin(2), pin(4), pin(1), unpin(3), pin(3), unpin(5)];
    let sends: Vec<Send> = acts
        .into_iter()
        .enumerate()
        .map(|(i, act)| about(cid(1), "alice:d", &format!("p{i}"), act))
        .collect();
    commit(store, &sends).await;
    let pins = async |limit| -> Vec<(u64, u64)> {
        let pins = store.pins(cid(1), limit).await.unwrap();
        pins.iter()
            .map(|entry| {
                assert_eq!(entry.kind, EntryKind::Pin);
                (entry.seq.0, entry.target.unwrap().0)
            })
            .collect()
    };
    assert_eq!(pins(10).await, [(13, 3), (11, 1), (10, 4)]);
    assert_eq!(pins(2).await, [(13, 3), (11, 1)]);
    place_of(store, about(cid(1), "alice:d", "d", Act::Delete { target: Seq(3) })).await;
    assert_eq!(pins(2).await, [(11, 1), (10, 4)]);
    place_of(store, about(cid(1), "alice:d", "u", unpin(4))).await;
    place_of(store, about(cid(1), "alice:d", "u2", unpin(4))).await;
    assert_eq!(pins(10).await, [(11, 1)]);
    assert!(store.pins(cid(2), 10).await.unwrap().is_empty());
    assert!(store.pins(cid(9), 10).await.unwrap().is_empty());
}

/// A change tried again, or refused, leaves an inbox as it was.
pub async fn retries_do_not_touch_an_inbox(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let request = ChangeRequest { time_ms: NOW + 5, ..change(cid(1), None, add(&["carol"])) };
    store.change(&request).await.unwrap().unwrap();
    let message = Send { time_ms: NOW + 9, ..send(cid(1), "alice:d", "a") };
    place_of(store, message.clone()).await;
    let before = [inbox(store, "bob").await, inbox(store, "carol").await];
    let late = |send: Send| Send { time_ms: NOW + 99, ..send };
    commit(store, &[late(message), late(send(cid(1), "eve:d", "b"))]).await;
    store.change(&ChangeRequest { time_ms: NOW + 99, ..request }).await.unwrap().unwrap();
    assert_eq!([inbox(store, "bob").await, inbox(store, "carol").await], before);
}
