//! Announcements are speed, the stream is truth: whatever is lost on the way, and whenever members
//! come and go, each device gets what is due once, in order, and without a later message.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_bridge::Options;
use godwit_core::bus::{Announcement, Control as _, Listen as _};
use godwit_core::change::{Ask, ChangeRequest};
use godwit_core::commit::{Act, Send, SendKey};
use godwit_core::edge::Begun;
use godwit_core::ids::{ClientMessageId, ConversationId, MessageId, UserId};
use godwit_core::membership::{ConversationKind, Details, NewConversation, Role};
use godwit_core::policy::Policy;
use godwit_core::store::Store as _;

use super::devices::{Device, Fate};
use super::faulty::Faulty;
use super::{World, identity, subscribe, world, world_with};

impl World {
    /// A device that reads the log and confirms what comes.
    async fn reader(&self, name: &str, expiry_s: u32) -> (Arc<Device>, Begun) {
        let device = Device::new(identity(name), 100);
        let begun = self.connect(&device, expiry_s).await;
        device.attach(&begun.session);
        if !begun.present {
            assert_eq!(begun.session.subscribe(subscribe("m/#")).await[0].0, 1);
        }
        (device, begun)
    }

    fn log_topic(&self) -> String {
        format!("m/{}", self.conversation)
    }

    /// Commits messages of alice past the bridge: another process did.
    pub(super) async fn commit_elsewhere(&self, first: u64, count: u64) -> Vec<Announcement> {
        let send = |n: u64| Send {
            conversation: self.conversation,
            from: identity("alice:elsewhere"),
            key: SendKey::Client(ClientMessageId::new(&format!("e{n}")).expect("a key")),
            message_id: MessageId(u128::from(n).to_be_bytes()),
            act: Act::MESSAGE,
            body: Bytes::from(n.to_string()),
            group_version: None,
            previous_chain: None,
            expires_ms: None,
            time_ms: 1,
            reads: false,
        };
        let mut announcements = Vec::new();
        for batch in (first..first + count).collect::<Vec<_>>().chunks(500) {
            let batch: Vec<Send> = batch.iter().copied().map(send).collect();
            let committed = self.store.commit(&batch, &Policy::default()).await.expect("a commit");
            announcements.extend(committed.entries.into_iter().map(|(entry, group_version)| {
                Announcement { entry: Arc::new(entry), group_version }
            }));
        }
        announcements
    }
}

/// Nobody is told of anything, the first message included: live and kept devices get it all the
/// same, soon, and nobody has to say anything more.
#[tokio::test]
async fn what_is_announced_to_nobody_arrives() {
    let world = world(1).await;
    let (alice, sender) = world.reader("alice:phone", 0).await;
    let (live, _live) = world.reader("bob:phone", 0).await;
    let (kept, _kept) = world.reader("bob:laptop", 3600).await;
    let (begun, topic) = (Instant::now(), world.log_topic());
    for n in 1..=3 {
        let fate = world.send(&alice, &sender, &format!("k{n}")).await;
        assert_eq!(fate, Fate::Committed { seq: n, duplicate: false });
        for device in [&live, &kept] {
            assert_eq!(device.received_until(&topic, n).await, (1..=n).collect::<Vec<_>>());
        }
    }
    // Half a second each on a quiet machine.
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
}

/// The first announcement that a process hears of a conversation is not the first entry that is due:
/// the one before it was lost, and its event is still to come. Nobody confirms past the hole.
#[tokio::test]
async fn the_first_announcement_shows_no_gap_and_hides_none() {
    let world = world(0).await;
    for expiry_s in [0, 3600] {
        let (device, _begun) = world.reader(&format!("bob:d{expiry_s}"), expiry_s).await;
        let first = 1 + u64::from(expiry_s > 0) * 4;
        // Nothing is known of the conversation here, as after a start.
        world.bridge.forget_routes();
        let announcements = world.commit_elsewhere(first, 4).await;
        world.bridge.announced(&announcements[2..3]);
        let all = device.received_until(&world.log_topic(), first + 3).await;
        assert_eq!(all, (first..=first + 3).collect::<Vec<_>>());
    }
}

/// What another connection of a kept device has had is not given out once more, whenever its event
/// comes.
#[tokio::test]
async fn a_late_event_repeats_nothing() {
    let world = world(1).await;
    let topic = world.log_topic();
    let (device, begun) = world.reader("bob:phone", 3600).await;
    begun.session.closed(3600).await;
    drop(device);
    world.commit_elsewhere(1, 3).await;
    // Quick enough to be back before the event.
    let (device, begun) = world.reader("bob:phone", 3600).await;
    assert_eq!(device.received_until(&topic, 3).await, [1, 2, 3]);
    assert_eq!(device.end(&topic), [1, 2, 3]);
    begun.session.closed(3600).await;
    let (device, _begun) = world.reader("bob:phone", 3600).await;
    world.commit_elsewhere(4, 1).await;
    assert_eq!(device.received_until(&topic, 4).await, [4]);
}

/// A group of alice, bob and dave on a store that can hold reads of members back.
async fn group() -> (World, Arc<Faulty>) {
    let mut made = None;
    let options = Options { cursor_delay: Duration::from_millis(5), ..Options::default() };
    let mut world = world_with(0, options, |store| {
        let faulty = Faulty::new(store);
        made = Some(Arc::clone(&faulty));
        faulty
    })
    .await;
    world.conversation = ConversationId([5; 16]);
    let user = |name| UserId::new(name).expect("a user");
    let members = [("alice", Role::Owner), ("bob", Role::Member), ("dave", Role::Member)];
    let new = NewConversation {
        id: world.conversation,
        kind: ConversationKind::Group,
        members: members.map(|(name, role)| (user(name), role)).to_vec(),
        details: Details::default(),
        time_ms: 1,
        founding: None,
    };
    world.store.create(&new).await.expect("a conversation");
    (world, made.expect("a store was made"))
}

async fn change(world: &World, key: &str, ask: Ask) -> u64 {
    let request = ChangeRequest {
        conversation: world.conversation,
        actor: None,
        ask,
        stamp: None,
        adding: None,
        key: SendKey::Client(ClientMessageId::new(key).expect("a key")),
        message_id: MessageId([key.as_bytes()[0]; 16]),
        time_ms: 2,
    };
    let (entry, _) = world.bridge.change(&request).await.expect("an answer").expect("a change");
    let entry = entry.expect("an entry");
    entry.seq.0
}

/// Dave is removed while the members are being read: what is announced meanwhile is not given out
/// by what was read before, neither to him nor, when he is back, past him.
#[tokio::test]
async fn members_older_than_an_announcement_give_nothing_out() {
    let (world, store) = group().await;
    let topic = world.log_topic();
    let (alice, sender) = world.reader("alice:phone", 0).await;
    let (bob, _bob) = world.reader("bob:phone", 0).await;
    let (dave, _dave) = world.reader("dave:phone", 0).await;
    store.hold_members();
    assert_eq!(
        world.send(&alice, &sender, "one").await,
        Fate::Committed { seq: 1, duplicate: false }
    );
    store.holds_members().await;
    let dave_alone = || vec![UserId::new("dave").expect("a user")];
    assert_eq!(change(&world, "remove", Ask::Remove { users: dave_alone() }).await, 2);
    for n in 3..=4 {
        world.send(&alice, &sender, &format!("k{n}")).await;
    }
    store.let_go();
    assert_eq!(bob.received_until(&topic, 4).await, [1, 2, 3, 4]);
    store.hold_members();
    let add = Ask::Add { users: dave_alone(), role: Role::Member };
    assert_eq!(change(&world, "add", add).await, 5);
    world.send(&alice, &sender, "k6").await;
    store.let_go();
    let heard = dave.received_until(&topic, 6).await;
    // Of the first stay, which is over, the end need not have come.
    let rest: Vec<u64> = heard.iter().copied().filter(|seq| *seq != 1).collect();
    assert_eq!(rest, [5, 6], "{heard:?}");
}

/// More is announced during a read of the members than is kept: the rest is read, without a later
/// message.
#[tokio::test]
async fn what_finds_no_room_to_wait_is_read() {
    let (world, store) = group().await;
    let device = Device::new(identity("bob:phone"), 5000);
    let begun = world.connect(&device, 0).await;
    begun.session.subscribe(subscribe("m/#")).await;
    device.attach(&begun.session);
    store.hold_members();
    let announcements = world.commit_elsewhere(1, 1500).await;
    world.bridge.announced(&announcements);
    store.let_go();
    let all = device.received_until(&world.log_topic(), 1500).await;
    assert_eq!(all, (1..=1500).collect::<Vec<_>>());
}

/// Whoever subscribes to conversations that one is no member of takes nobody's place here, and makes
/// nobody's hole unseen.
#[tokio::test]
async fn a_subscription_to_anything_makes_no_route() {
    let world = world(0).await;
    let (device, begun) = world.reader("mallory:phone", 0).await;
    for n in 0..50_u8 {
        let filter = format!("m/{}", ConversationId([n; 16]));
        assert!(begun.session.subscribe(subscribe(&filter)).await[0].is_error());
    }
    assert_eq!(world.bridge.routes(), 0, "{device:?} has made routes");
}
