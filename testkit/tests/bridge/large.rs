//! The pool of large groups: complete and in order when more comes than it holds, and no way around
//! a removal.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use godwit_bridge::Options;
use godwit_core::bus::{Announcement, Control as _, Listen as _};
use godwit_core::change::{Ask, ChangeRequest};
use godwit_core::commit::{Act, Send, SendKey};
use godwit_core::edge::Begun;
use godwit_core::ids::{ClientMessageId, ConversationId, MessageId, UserId};
use godwit_core::membership::{ConversationKind, Details, NewConversation, Role};
use godwit_core::policy::Policy;
use godwit_core::store::Store;
use godwit_proto::sync::v1::HeadNotice;
use godwit_store_sqlite::SqliteStore;
use prost::Message as _;

use super::devices::Device;
use super::faulty::Faulty;
use super::{World, identity, subscribe, world_with};

/// Every group of three is a large one.
async fn crowd() -> World {
    group_of_three(2, |store| store).await
}

/// Groups of more than `large_above` are large ones; the bridge sees the store through `seen`.
async fn group_of_three<S: Store>(
    large_above: usize,
    seen: impl FnOnce(Arc<SqliteStore>) -> Arc<S>,
) -> World {
    let options = Options {
        cursor_delay: Duration::from_millis(5),
        large_group_members: large_above,
        ..Options::default()
    };
    let mut world = world_with(0, options, seen).await;
    world.conversation = ConversationId([7; 16]);
    let user = |name| UserId::new(name).expect("a user");
    let new = NewConversation {
        id: world.conversation,
        kind: ConversationKind::Group,
        members: vec![
            (user("alice"), Role::Owner),
            (user("bob"), Role::Member),
            (user("carol"), Role::Member),
        ],
        details: Details::default(),
        time_ms: 1,
        founding: None,
    };
    world.store.create(&new).await.expect("a conversation");
    world
}

impl World {
    async fn listen(&self, name: &str, room: usize, filters: &[&str]) -> (Arc<Device>, Begun) {
        let device = Device::new(identity(name), room);
        let begun = self.connect(&device, 0).await;
        for filter in filters {
            begun.session.subscribe(subscribe(filter)).await;
        }
        (device, begun)
    }

    /// Commits so many messages of alice past the bridge, which is told of them by the test.
    async fn commit(&self, first: u64, count: u64) -> Vec<Announcement> {
        let mut announcements = Vec::new();
        let numbers: Vec<u64> = (first..first + count).collect();
        for numbers in numbers.chunks(500) {
            let send = |n: &u64| Send {
                conversation: self.conversation,
                from: identity("alice:phone"),
                key: SendKey::Client(ClientMessageId::new(&format!("k{n}")).expect("a key")),
                message_id: MessageId(u128::from(*n).to_be_bytes()),
                act: Act::Message { reply_to: None, mentions: Vec::new() },
                body: Bytes::from(n.to_string()),
                group_version: None,
                previous_chain: None,
                expires_ms: None,
                time_ms: 1,
                reads: false,
            };
            let batch: Vec<Send> = numbers.iter().map(send).collect();
            let committed = self.store.commit(&batch, &Policy::default()).await.expect("a commit");
            announcements.extend(committed.entries.into_iter().map(|(entry, group_version)| {
                Announcement { entry: Arc::new(entry), group_version }
            }));
        }
        assert_eq!(announcements.len() as u64, count);
        announcements
    }

    fn topic(&self) -> String {
        format!("m/{}", self.conversation)
    }
}

/// The bridge is told of more at once than its pool holds (1024), so the rest has to be read: each
/// device gets all of it, once, in order.
#[tokio::test]
async fn what_the_pool_does_not_hold_is_read() {
    let world = crowd().await;
    let (bob, session) = world.listen("bob:phone", 5000, &["m/#"]).await;
    bob.attach(&session.session);
    let (slow, session) = world.listen("carol:phone", 3, &["m/#"]).await;
    slow.attach(&session.session);
    world.bridge.announced(&world.commit(1, 1).await);
    // The members are known from here on.
    assert_eq!(bob.received_until(&world.topic(), 1).await, [1]);
    let burst = world.commit(2, 1500).await;
    world.bridge.announced(&burst);
    world.bridge.announced(&world.commit(1502, 1).await);
    for device in [&bob, &slow] {
        let all = device.received_until(&world.topic(), 1502).await;
        assert_eq!(all, (1..=1502).collect::<Vec<_>>());
    }
}

/// Whoever is removed gets nothing from the removal on, whatever the pool still holds; the others
/// get all of it.
#[tokio::test]
async fn the_pool_is_no_way_around_a_removal() {
    let world = crowd().await;
    let (bob, session) = world.listen("bob:phone", 5000, &["m/#"]).await;
    bob.attach(&session.session);
    let (carol, session) = world.listen("carol:phone", 5000, &["m/#"]).await;
    carol.attach(&session.session);
    world.bridge.announced(&world.commit(1, 1).await);
    assert_eq!(carol.received_until(&world.topic(), 1).await, [1]);
    world.bridge.announced(&world.commit(2, 200).await);
    // Through the bridge: it announces the change behind what it was told just now.
    let request = ChangeRequest {
        conversation: world.conversation,
        actor: None,
        ask: Ask::Remove { users: vec![UserId::new("bob").expect("a user")] },
        stamp: None,
        adding: None,
        key: SendKey::Client(ClientMessageId::new("remove").expect("a key")),
        message_id: MessageId([1; 16]),
        time_ms: 2,
    };
    let (entry, _) = world.bridge.change(&request).await.expect("an answer").expect("a change");
    let entry = entry.expect("an entry");
    assert_eq!(entry.seq.0, 202);
    world.bridge.announced(&world.commit(203, 50).await);
    let all = carol.received_until(&world.topic(), 252).await;
    assert_eq!(all, (1..=252).collect::<Vec<_>>());
    let heard = bob.received_until(&world.topic(), 1).await;
    assert!(heard.iter().copied().eq(1..=heard.len() as u64) && heard.len() <= 201, "{heard:?}");
}

/// A device that has fallen far behind is told where the log ends, and still gets all of it.
#[tokio::test]
async fn a_laggard_is_told_the_head() {
    let world = crowd().await;
    let notices = format!("n/{}", world.conversation);
    // It takes four entries and confirms nothing yet.
    let (late, session) = world.listen("carol:phone", 4, &["m/#", "n/#"]).await;
    let (simple, plain) = world.listen("carol:watch", 4, &["m/#"]).await;
    let (bob, begun) = world.listen("bob:phone", 5000, &["m/#"]).await;
    bob.attach(&begun.session);
    for (first, count) in [(1, 500), (501, 500), (1001, 100), (1101, 1)] {
        world.bridge.announced(&world.commit(first, count).await);
        bob.received_until(&world.topic(), first + count - 1).await;
    }
    let head = |notice: Bytes| HeadNotice::decode(notice).expect("a notice").head_seq;
    let heads = late.told_until(&notices, |notice| head(notice) == 1101).await;
    // Four were taken, and up to a thousand more are not far.
    assert!(head(heads[0].clone()) > 1000 && heads.len() <= 3, "{heads:?}");
    late.attach(&session.session);
    simple.attach(&plain.session);
    for device in [&late, &simple] {
        let all = device.received_until(&world.topic(), 1101).await;
        assert_eq!(all, (1..=1101).collect::<Vec<_>>());
    }
}

/// A session without a past begins with what comes after it, also when an entry that was committed
/// before waits for its members to be read; in a large group as in a small one.
#[tokio::test]
async fn whoever_comes_later_is_not_told_of_what_was_before() {
    for large_above in [2, 3] {
        let mut made = None;
        let world = group_of_three(large_above, |store| {
            let faulty = Faulty::new(store);
            made = Some(Arc::clone(&faulty));
            faulty
        })
        .await;
        let store = made.expect("a store was made");
        store.hold_members();
        world.bridge.announced(&world.commit(1, 1).await);
        store.holds_members().await;
        let (bob, session) = world.listen("bob:phone", 100, &["m/#"]).await;
        bob.attach(&session.session);
        store.let_go();
        world.bridge.announced(&world.commit(2, 1).await);
        let heard = bob.received_until(&world.topic(), 2).await;
        assert_eq!(heard, [2], "large above {large_above}");
    }
}
