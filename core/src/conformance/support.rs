//! What the cases are written with: people, conversations, sends, and the check of a whole log.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use bytes::Bytes;

use crate::change::{Ask, ChangeRequest};
use crate::commit::{Act, Committed, Fate, Send, SendKey};
use crate::cursor::{Behind, Feed, Mark, Move, Opened, Opening, Scope, SubscriptionChange};
use crate::entry::{ChainHash, Entry, NewEntry};
use crate::ids::{ClientMessageId, ConversationId, Identity, MessageId, Seq, UserId};
use crate::inbox::{InboxQuery, Item};
use crate::limits::{INBOX_PAGE_MAX, PAGE_ENTRIES_MAX};
use crate::membership::{Conversation, ConversationKind, Details, NewConversation, Role};
use crate::policy::Policy;
use crate::receipt::{Place, Report, Verdict};
use crate::store::{Range, Store};

/// The time of everything that names no other: milliseconds since 1970, in 2027.
pub const NOW: u64 = 1_800_000_000_000;

/// The conversation of a number.
#[must_use]
pub fn cid(number: u8) -> ConversationId {
    ConversationId([number; 16])
}

/// A user.
#[must_use]
pub fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// `alice:phone`.
#[must_use]
pub fn device(text: &str) -> Identity {
    text.parse().unwrap()
}

/// A message id that nobody had.
#[must_use]
pub fn fresh_id() -> MessageId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0x17; 16];
    bytes[8..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    MessageId(bytes)
}

/// Creates a group; the first of `users` owns it.
pub async fn group(store: &dyn Store, id: ConversationId, users: &[&str]) -> Conversation {
    let members = users
        .iter()
        .enumerate()
        .map(|(i, name)| (user(name), if i == 0 { Role::Owner } else { Role::Member }))
        .collect();
    let details = Details::default();
    let new = NewConversation {
        id,
        kind: ConversationKind::Group,
        members,
        details,
        time_ms: NOW,
        founding: None,
    };
    store.create(&new).await.unwrap()
}

/// A direct conversation of two; the first owns it.
#[must_use]
pub fn direct(id: ConversationId, first: &str, second: &str) -> NewConversation {
    NewConversation {
        id,
        kind: ConversationKind::Direct,
        members: vec![(user(first), Role::Owner), (user(second), Role::Member)],
        details: Details::default(),
        time_ms: NOW,
        founding: None,
    }
}

/// A send with the client's key.
#[must_use]
pub fn send(conversation: ConversationId, from: &str, key: &str) -> Send {
    Send {
        conversation,
        from: device(from),
        key: SendKey::Client(ClientMessageId::new(key).unwrap()),
        message_id: fresh_id(),
        act: Act::MESSAGE,
        body: Bytes::from(format!("body of {key}")),
        group_version: None,
        previous_chain: None,
        expires_ms: None,
        time_ms: NOW,
        reads: false,
    }
}

/// Commits a batch by the default policy.
pub async fn commit(store: &dyn Store, batch: &[Send]) -> Committed {
    store.commit(batch, &Policy::default()).await.unwrap()
}

/// Commits one send and returns its fate.
pub async fn commit_one(store: &dyn Store, send: Send) -> Fate {
    commit(store, &[send]).await.fates[0]
}

/// Commits so many new messages in one batch.
pub async fn say(store: &dyn Store, conversation: ConversationId, from: &str, count: usize) {
    let batch: Vec<Send> = (0..count)
        .map(|_| Send { key: SendKey::Server(fresh_id()), ..send(conversation, from, "x") })
        .collect();
    for fate in commit(store, &batch).await.fates {
        assert!(!accepted(fate).2, "a fresh key is no duplicate");
    }
}

/// A send about a message: edits and reactions say their key, the others nothing.
#[must_use]
pub fn about(conversation: ConversationId, from: &str, key: &str, act: Act) -> Send {
    let body = match act {
        Act::Edit { .. } | Act::React { .. } => Bytes::from(key.to_owned()),
        _ => Bytes::new(),
    };
    Send { act, body, ..send(conversation, from, key) }
}

/// Commits one send, which must be new and accepted, and returns its place.
pub async fn place_of(store: &dyn Store, send: Send) -> Seq {
    let (_, seq, duplicate) = accepted(commit_one(store, send).await);
    assert!(!duplicate, "a fresh key is no duplicate");
    seq
}

/// The entries of a log above a place, also those without a body: at most a page.
pub async fn log_above(store: &dyn Store, id: ConversationId, after: u64) -> Vec<Entry> {
    let range = Range::above(Seq(after));
    store.read_log(id, range, PAGE_ENTRIES_MAX, usize::MAX).await.unwrap().unwrap().entries
}

/// The conversation, which must be there.
pub async fn conversation(store: &dyn Store, id: ConversationId) -> Conversation {
    store.conversation(id).await.unwrap().unwrap()
}

/// A user's inbox, the open shelf, at most a page.
pub async fn inbox(store: &dyn Store, who: &str) -> Vec<Item> {
    let query = InboxQuery { limit: INBOX_PAGE_MAX, ..InboxQuery::default() };
    store.inbox(&user(who), &query).await.unwrap().items
}

/// One conversation in a user's inbox, on whichever shelf; `None`: the user is no member.
pub async fn item(store: &dyn Store, who: &str, id: ConversationId) -> Option<Item> {
    let query = InboxQuery { only: Some(id), limit: 1, ..InboxQuery::default() };
    let mut items = store.inbox(&user(who), &query).await.unwrap().items;
    assert!(items.len() <= 1);
    items.pop()
}

/// How far a user says to have got.
#[must_use]
pub fn reached(id: ConversationId, delivered: u64, read: u64) -> Place {
    Place { conversation: id, delivered: Seq(delivered), read: Seq(read) }
}

/// Reports as a client does.
pub async fn report(store: &dyn Store, who: &str, places: &[Place]) -> Verdict {
    let report = Report { user: user(who), places: places.to_vec(), lenient: false };
    let mut verdicts = store.report(&[report]).await.unwrap();
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0)
}

/// The result of an accepted send: message id, place, duplicate.
#[must_use]
pub fn accepted(fate: Fate) -> (MessageId, Seq, bool) {
    match fate {
        Fate::Accepted { message_id, seq, duplicate } => (message_id, seq, duplicate),
        other => panic!("not accepted: {other:?}"),
    }
}

/// Reads a whole log in pages of three, and checks that it is gapless, that its chain holds, and
/// that its head is the conversation's. Not for logs with removed bodies.
pub async fn checked_log(store: &dyn Store, id: ConversationId) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map_or(Seq::ZERO, |entry| entry.seq);
        let page = store.read_log(id, Range::above(after), 3, usize::MAX).await.unwrap().unwrap();
        if page.entries.is_empty() {
            break;
        }
        entries.extend(page.entries);
    }
    let mut chain = ChainHash::ZERO;
    for (entry, place) in entries.iter().zip(1..) {
        assert_eq!((entry.conversation, entry.seq), (id, Seq(place)), "a gapless log");
        chain = chain.link(&NewEntry {
            seq: entry.seq,
            kind: entry.kind,
            message_id: entry.message_id,
            time_ms: entry.time_ms,
            sender: &entry.sender,
            device: &entry.device,
            body: &entry.body,
            target: entry.target,
        });
        assert_eq!(entry.chain, chain, "the chain at {place}");
    }
    let conversation = store.conversation(id).await.unwrap().unwrap();
    assert_eq!(conversation.head_seq, Seq(entries.len() as u64), "the head's place");
    assert_eq!(conversation.head_chain, chain, "the head's chain");
    entries
}

/// A change asked by `actor` (`None`: an operator).
#[must_use]
pub fn change(id: ConversationId, actor: Option<&str>, ask: Ask) -> ChangeRequest {
    let message_id = fresh_id();
    ChangeRequest {
        conversation: id,
        actor: actor.map(device),
        ask,
        stamp: None,
        adding: None,
        key: SendKey::Server(message_id),
        message_id,
        time_ms: NOW,
    }
}

/// They join as plain members.
#[must_use]
pub fn add(users: &[&str]) -> Ask {
    Ask::Add { users: users.iter().map(|name| user(name)).collect(), role: Role::Member }
}

/// They leave.
#[must_use]
pub fn remove(users: &[&str]) -> Ask {
    Ask::Remove { users: users.iter().map(|name| user(name)).collect() }
}

/// Changes by an operator's hand, which must succeed.
pub async fn changed(store: &dyn Store, id: ConversationId, ask: Ask) -> (Entry, Conversation) {
    store.change(&change(id, None, ask)).await.unwrap().unwrap()
}

/// An opening at [`NOW`].
#[must_use]
pub fn opening(who: &str, clean: bool, expiry_s: u32) -> Opening {
    Opening { device: device(who), clean, expiry_s, time_ms: NOW }
}

/// Opens one session.
pub async fn open_one(store: &dyn Store, opening: Opening) -> Opened {
    let mut answers = store.open_sessions(&[opening]).await.unwrap();
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

/// Keeps a session for each device, so that its cursors are kept.
pub async fn keep(store: &dyn Store, devices: &[&str]) {
    let batch: Vec<Opening> = devices.iter().map(|who| opening(who, false, 3600)).collect();
    store.open_sessions(&batch).await.unwrap();
}

/// Begins a feed at the heads of a scope.
pub async fn start(store: &dyn Store, who: &str, feed: Feed, scope: Scope) {
    let change = SubscriptionChange { start: vec![(feed, scope)], ..SubscriptionChange::default() };
    store.change_subscriptions(&device(who), &change).await.unwrap();
}

/// A move of a device's cursor.
#[must_use]
pub fn to(who: &str, feed: Feed, conversation: ConversationId, seq: u64) -> Move {
    Move { device: device(who), mark: Mark { feed, conversation, seq: Seq(seq) } }
}

/// What a device has to read: (conversation, delivered, head), at most a hundred.
pub async fn behind(store: &dyn Store, who: &str, feed: Feed) -> Vec<(ConversationId, u64, u64)> {
    let rows = store.behind(&device(who), feed, None, 100).await.unwrap();
    rows.into_iter()
        .map(|Behind { conversation, delivered_seq, head_seq }| {
            (conversation, delivered_seq.0, head_seq.0)
        })
        .collect()
}

/// One of several futures that run at the same time.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + std::marker::Send + 'a>>;

/// Polls all futures until each is done: concurrency without a runtime of its own.
pub async fn join_all<T>(futures: Vec<Task<'_, T>>) -> Vec<T> {
    let mut slots: Vec<_> = futures.into_iter().map(|future| (Some(future), None)).collect();
    poll_fn(|context| {
        let mut pending = false;
        for (future, output) in &mut slots {
            if let Some(running) = future {
                match running.as_mut().poll(context) {
                    Poll::Ready(value) => (*future, *output) = (None, Some(value)),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    slots.into_iter().filter_map(|(_, output)| output).collect()
}
