//! The bridge between a real store and devices made here, with a bus that loses what it is told to.

mod devices;
mod faults;
mod faulty;
mod large;
mod property;
mod stale;
mod strangers;
mod stream;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use godwit_bridge::{Bridge, Options, Ports};
use godwit_bus::InProcess;
use godwit_core::bus::{Announce, Announcement, Signal};
use godwit_core::edge::{
    Begin, Begun, Code, Message, Publish, Qos, SubscribeRequest, Upstream as _, Version,
};
use godwit_core::ids::{ConversationId, Identity, UserId};
use godwit_core::membership::{ConversationKind, Details, NewConversation, Role};
use godwit_core::store::Store;
use godwit_core::tasks::Supervisor;
use godwit_storage_worker::Worker;
use godwit_store_sqlite::SqliteStore;

use devices::{Device, Fate};

/// Passes announcements on, but for each `nth` one, and for those that it was told to lose.
struct Lossy {
    bus: Arc<InProcess>,
    nth: u64,
    seen: AtomicU64,
    /// The next ones, in order: lost or not. Behind them `nth` counts.
    script: Mutex<VecDeque<bool>>,
}

impl Lossy {
    /// Whether the next announcements are lost.
    fn will(&self, lost: impl IntoIterator<Item = bool>) {
        self.script.lock().expect("no panic under the lock").extend(lost);
    }

    /// What is left of the script is over.
    fn will_no_more(&self) {
        self.script.lock().expect("no panic under the lock").clear();
    }

    fn loses(&self) -> bool {
        let scripted = self.script.lock().expect("no panic under the lock").pop_front();
        scripted.unwrap_or_else(|| {
            let count = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
            self.nth > 0 && count.is_multiple_of(self.nth)
        })
    }
}

impl Announce for Lossy {
    fn announce(&self, announcements: &[Announcement]) {
        for announcement in announcements {
            if !self.loses() {
                self.bus.announce(std::slice::from_ref(announcement));
            }
        }
    }

    fn signal(&self, signals: &[Signal]) {
        self.bus.signal(signals);
    }
}

/// A bridge on a fresh store, with alice and bob in one conversation.
struct World {
    store: Arc<SqliteStore>,
    bridge: Arc<Bridge>,
    bus: Arc<Lossy>,
    _worker: Worker,
    conversation: ConversationId,
    directory: godwit_testkit::scratch::Scratch,
}

async fn world(nth: u64) -> World {
    let options = Options { cursor_delay: Duration::from_millis(5), ..Options::default() };
    world_with(nth, options, |store| store).await
}

/// As [`world`]; the bridge sees the store through `seen`.
async fn world_with<S: Store>(
    nth: u64,
    options: Options,
    seen: impl FnOnce(Arc<SqliteStore>) -> Arc<S>,
) -> World {
    let directory = godwit_testkit::scratch::Scratch::new("bridge");
    let store = open(directory.path()).await;
    let seen = seen(Arc::clone(&store));
    let (bridge, lossy, worker) = start(seen, nth, options);
    let conversation = ConversationId([9; 16]);
    let user = |name| (UserId::new(name).expect("a user"), Role::Member);
    let new = NewConversation {
        id: conversation,
        kind: ConversationKind::Direct,
        members: vec![user("alice"), user("bob")],
        details: Details::default(),
        time_ms: 1,
        founding: None,
    };
    store.create(&new).await.expect("a conversation");
    World { store, bridge, bus: lossy, _worker: worker, conversation, directory }
}

/// A bridge with its bus, and the worker that relays the outbox.
fn start<S: Store>(store: Arc<S>, nth: u64, options: Options) -> (Arc<Bridge>, Arc<Lossy>, Worker) {
    let bus = InProcess::new();
    let (seen, script) = (AtomicU64::new(0), Mutex::default());
    let lossy = Arc::new(Lossy { bus: Arc::clone(&bus), nth, seen, script });
    let supervisor = Supervisor::new(|death| panic!("{death}"));
    let ports = Ports {
        store: Arc::clone(&store) as Arc<_>,
        announce: Arc::clone(&lossy) as Arc<_>,
        stream: Arc::clone(&bus) as Arc<_>,
        supervisor: Arc::clone(&supervisor),
    };
    // A test that is in a hurry has a relay that is.
    let relay_interval = options.event_patience;
    let bridge = Bridge::start(ports, options, 7);
    bus.listen(Arc::clone(&bridge) as Arc<_>);
    let options = godwit_storage_worker::Options { relay_interval, ..Default::default() };
    let worker = Worker::start(store as Arc<_>, bus as Arc<_>, &supervisor, options);
    (bridge, lossy, worker)
}

async fn open(directory: &Path) -> Arc<SqliteStore> {
    let store = SqliteStore::open(&directory.join("godwit.db")).await.expect("a store");
    store.migrate_up().await.expect("a schema");
    Arc::new(store)
}

impl World {
    /// The store's file.
    fn file(&self) -> std::path::PathBuf {
        self.directory.path().join("godwit.db")
    }

    async fn connect(&self, device: &Arc<Device>, expiry_s: u32) -> Begun {
        let begin = Begin { clean: false, expiry_s };
        match self.bridge.open(Arc::clone(device) as Arc<_>, begin).await {
            Ok(begun) => begun,
            Err(outcome) => panic!("not opened: {outcome:?}"),
        }
    }

    /// Sends with a key and waits for the fate.
    async fn send(&self, device: &Arc<Device>, begun: &Begun, cmid: &str) -> Fate {
        let ticket = self.start(device, begun, cmid);
        device.fate(ticket).await
    }

    /// Sends with a key; the ticket of its fate.
    fn start(&self, device: &Arc<Device>, begun: &Begun, cmid: &str) -> u32 {
        let topic = format!("c/{}/{cmid}", self.conversation).into();
        let message = Message { topic, payload: Bytes::from(cmid.to_owned()), properties: None };
        let (ticket, ack) = device.expect();
        let publish = Publish { message, qos: Qos::AtLeastOnce, retain: false };
        begun.session.publish(publish, ack);
        ticket
    }
}

fn identity(text: &str) -> Identity {
    text.parse().expect("user:device")
}

fn subscribe(filter: &str) -> Vec<SubscribeRequest> {
    let subscription = godwit_core::cursor::Subscription {
        filter: filter.to_owned(),
        options: 1,
        identifier: None,
    };
    vec![SubscribeRequest { subscription, mounted: true }]
}

/// Every third announcement is lost, and the device takes at most two deliveries at a time: it
/// still gets every entry, once, in order.
#[tokio::test]
async fn a_gap_is_read_from_the_log() {
    let world = world(3).await;
    let alice = Device::new(identity("alice:phone"), 100);
    let bob = Device::new(identity("bob:phone"), 2);
    let sender = world.connect(&alice, 0).await;
    let receiver = world.connect(&bob, 0).await;
    bob.attach(&receiver.session);
    for filter in ["m/#", "c/#"] {
        assert_eq!(receiver.session.subscribe(subscribe(filter)).await[0].0, 1);
    }
    const SENDS: u64 = 50;
    for n in 1..=SENDS {
        let fate = world.send(&alice, &sender, &format!("k{n}")).await;
        assert_eq!(fate, Fate::Committed { seq: n, duplicate: false });
    }
    // The 50th was announced (50 is no multiple of 3), so every gap before it has been seen.
    for head in ["m", "c"] {
        let topic = format!("{head}/{}", world.conversation);
        let seqs = bob.received_until(&topic, SENDS).await;
        assert_eq!(seqs, (1..=SENDS).collect::<Vec<_>>(), "{topic}");
    }
}

/// A kept device that comes back gets what it has not confirmed, from its cursor on; its own sends
/// are not among it.
#[tokio::test]
async fn a_cursor_is_where_a_kept_session_goes_on() {
    let world = world(0).await;
    let alice = Device::new(identity("alice:phone"), 100);
    let sender = world.connect(&alice, 0).await;
    let bob = Device::new(identity("bob:phone"), 100);
    let first = world.connect(&bob, 3600).await;
    assert!(!first.present);
    bob.attach(&first.session);
    first.session.subscribe(subscribe("m/#")).await;
    for n in 1..=3 {
        world.send(&alice, &sender, &format!("a{n}")).await;
    }
    let topic = format!("m/{}", world.conversation);
    assert_eq!(bob.received_until(&topic, 3).await, [1, 2, 3]);
    assert_eq!(world.send(&bob, &first, "own").await, Fate::Committed { seq: 4, duplicate: false });
    first.session.closed(3600).await;
    for n in 5..=7 {
        world.send(&alice, &sender, &format!("a{n}")).await;
    }
    let again = Device::new(identity("bob:phone"), 1);
    let second = world.connect(&again, 3600).await;
    assert!(second.present);
    assert_eq!(second.subscriptions.len(), 1);
    again.attach(&second.session);
    assert_eq!(again.received_until(&topic, 7).await, [5, 6, 7]);
    second.session.closed(3600).await;
    let third = Device::new(identity("bob:phone"), 100);
    let resumed = world.connect(&third, 3600).await;
    third.attach(&resumed.session);
    world.send(&alice, &sender, "last").await;
    assert_eq!(third.received_until(&topic, 8).await, [8], "nothing confirmed comes again");
    let behind = world
        .store
        .behind(&identity("bob:phone"), godwit_core::cursor::Feed::Plain, None, 10)
        .await
        .expect("an answer");
    assert_eq!(behind.len(), 1, "the plain feed was never read");
}

/// MQTT 5 is told to wait. A 3.1.1 device cannot be: its sends are taken as fast as they may be, in
/// their order.
#[tokio::test]
async fn who_cannot_be_told_to_wait_waits() {
    const SENDS: u64 = 60;
    let options = Options { user_sends_per_s: 40, ..Options::default() };
    let world = world_with(0, options, |store| store).await;
    for (version, name) in [(Version::V3, "alice:old"), (Version::V5, "bob:new")] {
        let device = Device::speaking(version, identity(name), 100);
        let begun = world.connect(&device, 0).await;
        let tickets: Vec<u32> =
            (0..SENDS).map(|n| world.start(&device, &begun, &format!("k{n}"))).collect();
        let (mut seqs, mut refused) = (Vec::new(), 0);
        for ticket in tickets {
            match device.fate(ticket).await {
                Fate::Committed { seq, duplicate: false } => seqs.push(seq),
                Fate::Other(outcome) if outcome.code == Code::QUOTA_EXCEEDED => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(seqs.is_sorted(), "{seqs:?}");
        assert_eq!(refused > 0, version == Version::V5, "{refused} of {SENDS} refused");
    }
}
