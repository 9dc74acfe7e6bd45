//! What the cases are written with: people, conversations, sends, and the check of a whole log.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use bytes::Bytes;

use crate::commit::{Fate, Send, SendKey};
use crate::cursor::{Behind, Feed, Mark, Move, Opened, Opening, Scope, SubscriptionChange};
use crate::entry::{ChainHash, Entry, NewEntry};
use crate::ids::{ClientMessageId, ConversationId, Identity, MessageId, Seq, UserId};
use crate::membership::{
    ChangeRequest, Conversation, ConversationKind, Direction, NewConversation, Role,
};
use crate::store::Store;

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
    let new = NewConversation { id, kind: ConversationKind::Group, members, time_ms: NOW };
    store.create(&new).await.unwrap()
}

/// A send with the client's key.
#[must_use]
pub fn send(conversation: ConversationId, from: &str, key: &str) -> Send {
    Send {
        conversation,
        from: device(from),
        key: SendKey::Client(ClientMessageId::new(key).unwrap()),
        message_id: fresh_id(),
        body: Bytes::from(format!("body of {key}")),
        group_version: None,
        previous_chain: None,
        reply_to: None,
        expires_ms: None,
        time_ms: NOW,
    }
}

/// Commits one send and returns its fate.
pub async fn commit_one(store: &dyn Store, send: Send) -> Fate {
    store.commit(&[send]).await.unwrap().fates[0]
}

/// Commits so many new messages in one batch.
pub async fn say(store: &dyn Store, conversation: ConversationId, from: &str, count: usize) {
    let batch: Vec<Send> = (0..count)
        .map(|_| Send { key: SendKey::Server(fresh_id()), ..send(conversation, from, "x") })
        .collect();
    for fate in store.commit(&batch).await.unwrap().fates {
        assert!(!accepted(fate).2, "a fresh key is no duplicate");
    }
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
        let page = store.read_log(id, after, 3, usize::MAX).await.unwrap().unwrap();
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
        });
        assert_eq!(entry.chain, chain, "the chain at {place}");
    }
    let conversation = store.conversation(id).await.unwrap().unwrap();
    assert_eq!(conversation.head_seq, Seq(entries.len() as u64), "the head's place");
    assert_eq!(conversation.head_chain, chain, "the head's chain");
    entries
}

/// A change of members asked by `actor` (`None`: an operator).
#[must_use]
pub fn change(
    id: ConversationId,
    actor: Option<&str>,
    direction: Direction,
    users: &[&str],
) -> ChangeRequest {
    ChangeRequest {
        conversation: id,
        actor: actor.map(device),
        direction,
        users: users.iter().map(|name| user(name)).collect(),
        message_id: fresh_id(),
        time_ms: NOW,
    }
}

/// Adds or removes by an operator's hand, which must succeed.
pub async fn changed(
    store: &dyn Store,
    id: ConversationId,
    direction: Direction,
    users: &[&str],
) -> (Entry, Conversation) {
    store.change_members(&change(id, None, direction, users)).await.unwrap().unwrap()
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
