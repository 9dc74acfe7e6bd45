//! What senders and reporters are told when the store fails under them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use godwit_bridge::Options;
use godwit_core::edge::{
    Begin, Begun, Code, Detail, Message, Outcome, Publish, Qos, Upstream as _,
};
use godwit_core::store::{Prune, Store as _};
use godwit_proto::receipt::v1::{Receipt, ReceiptUpdates, Receipts};
use prost::Message as _;

use super::devices::{Device, Fate};
use super::faulty::Fault::{Away, Broken, Lost, Rejected};
use super::faulty::{Fault, Faulty};
use super::{World, identity, subscribe, world_with};

/// A world on a faulty store, with alice and bob connected.
struct Faults {
    world: World,
    store: Arc<Faulty>,
    alice: (Arc<Device>, Begun),
    bob: (Arc<Device>, Begun),
}

async fn faults(hold_max: Duration) -> Faults {
    let delay = Duration::from_millis(5);
    let options =
        Options { cursor_delay: delay, receipt_delay: delay, hold_max, ..Options::default() };
    let mut made = None;
    let world = world_with(0, options, |store| {
        let faulty = Faulty::new(store);
        made = Some(Arc::clone(&faulty));
        faulty
    })
    .await;
    let alice = Device::new(identity("alice:phone"), 100);
    let sender = world.connect(&alice, 0).await;
    alice.attach(&sender.session);
    let bob = Device::new(identity("bob:phone"), 100);
    let receiver = world.connect(&bob, 0).await;
    bob.attach(&receiver.session);
    let store = made.expect("a store was made");
    Faults { world, store, alice: (alice, sender), bob: (bob, receiver) }
}

impl Faults {
    async fn send(&self, cmid: &str, faults: &[Fault]) -> Fate {
        self.store.will(faults);
        let fate = self.world.send(&self.alice.0, &self.alice.1, cmid).await;
        assert!(self.store.is_through(), "{cmid}: every fault has happened");
        fate
    }

    /// bob reports how far he has read.
    async fn read(&self, seq: u64, faults: &[Fault]) -> Outcome {
        self.store.will(faults);
        let conversation_id = Bytes::copy_from_slice(self.world.conversation.as_bytes());
        let receipt = Receipt { conversation_id, read: seq, ..Receipt::default() };
        let payload = Receipts { receipts: vec![receipt] }.encode_to_vec().into();
        let message = Message { topic: "r".into(), payload, properties: None };
        let (ticket, ack) = self.bob.0.expect();
        let publish = Publish { message, qos: Qos::AtLeastOnce, retain: false };
        self.bob.1.session.publish(publish, ack);
        match self.bob.0.fate(ticket).await {
            Fate::Other(outcome) => outcome,
            committed => panic!("{committed:?}"),
        }
    }

    async fn head(&self) -> u64 {
        let found = self.world.store.conversation(self.world.conversation).await;
        found.expect("an answer").expect("a conversation").head_seq.0
    }
}

fn withheld() -> Fate {
    Fate::Other(Outcome::WITHHELD)
}

/// "Nothing was stored" is said only when it is known. A send whose first try lost its answer may
/// be stored, whatever the later tries say.
#[tokio::test]
async fn a_lost_answer_is_never_told_as_a_refusal() {
    let faults = faults(Duration::from_secs(30)).await;
    // The batch is rejected, then the send alone is.
    match faults.send("never", &[Rejected, Rejected]).await {
        Fate::Other(outcome) => assert_eq!(outcome.code, Code::PAYLOAD_INVALID),
        committed => panic!("{committed:?}"),
    }
    assert_eq!(faults.head().await, 0);
    assert_eq!(faults.send("first", &[Lost, Rejected, Rejected]).await, withheld());
    assert_eq!(faults.head().await, 1, "it was stored");
    assert_eq!(
        faults.send("first", &[]).await,
        Fate::Committed { seq: 1, duplicate: true },
        "and a later try finds it"
    );
}

/// A store that fails says nothing of the send: whoever sends it again may succeed. So it is never
/// refused, which to 3.1.1 would be acknowledged.
#[tokio::test]
async fn a_store_that_fails_is_no_refusal() {
    let faults = faults(Duration::from_secs(30)).await;
    // The batch breaks, then the send alone does.
    assert_eq!(faults.send("never", &[Broken, Broken]).await, withheld());
    assert_eq!(faults.send("never", &[Rejected, Broken]).await, withheld());
    assert_eq!(faults.head().await, 0);
    assert_eq!(faults.send("first", &[Lost, Broken, Broken]).await, withheld());
    assert_eq!(faults.head().await, 1, "it was stored");
    assert_eq!(faults.send("second", &[Broken, Lost, Broken]).await, withheld());
    assert_eq!(faults.send("third", &[Away, Broken, Broken]).await, withheld());
    assert_eq!(faults.head().await, 2, "the third was not, which the bridge cannot know");
    // The sender asks again, and learns.
    let again = faults.send("first", &[]).await;
    assert_eq!(again, Fate::Committed { seq: 1, duplicate: true });
    assert_eq!(faults.send("never", &[]).await, Fate::Committed { seq: 3, duplicate: false });
}

/// A try that finds the commit of an earlier one is no repetition of the sender's, and everybody
/// is told of the entry.
#[tokio::test]
async fn what_was_committed_with_a_lost_answer_is_delivered() {
    let faults = faults(Duration::from_secs(30)).await;
    let (bob, receiver) = &faults.bob;
    receiver.session.subscribe(subscribe("m/#")).await;
    let first = faults.send("first", &[Lost]).await;
    assert_eq!(first, Fate::Committed { seq: 1, duplicate: false });
    let topic = format!("m/{}", faults.world.conversation);
    assert_eq!(bob.received_until(&topic, 1).await, [1]);
    let second = faults.send("second", &[Lost, Broken]).await;
    assert_eq!(second, Fate::Committed { seq: 2, duplicate: false });
    assert_eq!(faults.send("third", &[]).await, Fate::Committed { seq: 3, duplicate: false });
    assert_eq!(bob.received_until(&topic, 3).await, [1, 2, 3]);
}

/// A report is acknowledged when it is stored, refused when it is known that it was not, and
/// otherwise not answered.
#[tokio::test]
async fn a_report_is_answered_by_what_is_known_of_it() {
    let faults = faults(Duration::from_secs(30)).await;
    let (alice, sender) = &faults.alice;
    sender.session.subscribe(subscribe("r/#")).await;
    for n in 1..=5 {
        faults.send(&format!("k{n}"), &[]).await;
    }
    assert_eq!(faults.read(1, &[Lost]).await, Outcome::SUCCESS);
    assert_eq!(faults.read(2, &[Away, Away]).await, Outcome::SUCCESS);
    assert_eq!(faults.read(3, &[Broken]).await, Outcome::SUCCESS);
    assert_eq!(faults.read(4, &[Broken, Broken]).await, Outcome::WITHHELD);
    let refused = faults.read(4, &[Rejected, Rejected]).await;
    assert_eq!(refused.code, Code::PAYLOAD_INVALID);
    assert_eq!(faults.read(4, &[Lost, Broken, Broken]).await, Outcome::WITHHELD);
    let beyond = faults.read(6, &[]).await;
    assert_eq!(beyond.code, Code::PAYLOAD_INVALID);
    assert!(matches!(&beyond.detail, Detail::Text(why) if why.contains("ends at 5")), "{beyond:?}");
    assert_eq!(faults.read(5, &[]).await, Outcome::SUCCESS);
    let topic = format!("r/{}", faults.world.conversation);
    let updates = alice
        .told_until(&topic, |payload| {
            let updates = ReceiptUpdates::decode(payload).expect("ReceiptUpdates");
            updates.receipts.iter().any(|r| (r.user.as_str(), r.read) == ("bob", 5))
        })
        .await;
    let reads: Vec<u64> = updates
        .iter()
        .flat_map(|payload| ReceiptUpdates::decode(payload.clone()).expect("updates").receipts)
        .map(|receipt| receipt.read)
        .collect();
    assert!(reads.is_sorted(), "never back: {reads:?}");
}

/// A store that stays away does not keep a reporter waiting for ever.
#[tokio::test]
async fn a_report_waits_no_longer_than_a_send() {
    let faults = faults(Duration::from_millis(200)).await;
    assert_eq!(faults.send("k", &[]).await, Fate::Committed { seq: 1, duplicate: false });
    // Waits of 50 and 100 ms, then the next would end after 200 ms.
    assert_eq!(faults.read(1, &[Away, Away, Away]).await, Outcome::WITHHELD);
    assert_eq!(faults.read(1, &[]).await, Outcome::SUCCESS);
}

/// In force is what was stored: a refused SUBSCRIBE delivers nothing, a refused UNSUBSCRIBE ends
/// nothing.
#[tokio::test]
async fn what_was_not_stored_is_not_in_force() {
    let faults = faults(Duration::from_secs(30)).await;
    let (world, topic) = (&faults.world, format!("m/{}", faults.world.conversation));
    let listener = Device::new(identity("bob:phone"), 100);
    let listens = world.connect(&listener, 0).await;
    listener.attach(&listens.session);
    assert_eq!(listens.session.subscribe(subscribe("m/#")).await[0].0, 1);
    let carol = Device::new(identity("bob:tablet"), 100);
    let begun = world.connect(&carol, 3600).await;
    carol.attach(&begun.session);
    for fault in [Away, Broken] {
        faults.store.will_in_sessions(&[fault]);
        assert!(begun.session.subscribe(subscribe("m/#")).await[0].is_error());
    }
    faults.send("refused", &[]).await;
    // Another device shows that it has gone out: what subscribes between a commit and its announcement
    // may be told of it. And another topic shows that what would have come has come.
    assert_eq!(listener.received_until(&topic, 1).await, [1]);
    assert_eq!(begun.session.subscribe(subscribe("c/#")).await[0].0, 1);
    faults.send("plain", &[]).await;
    assert_eq!(listener.received_until(&topic, 2).await, [1, 2]);
    let plain = format!("c/{}", world.conversation);
    assert_eq!(carol.received_until(&plain, 2).await, [2]);
    assert_eq!(begun.session.subscribe(subscribe("m/#")).await[0].0, 1);
    faults.send("first", &[]).await;
    assert_eq!(carol.received_until(&topic, 3).await, [3], "nothing before the SUBACK");
    for fault in [Away, Broken] {
        faults.store.will_in_sessions(&[fault]);
        let ended = begun.session.unsubscribe(vec!["m/#".to_owned()]).await;
        assert!(ended[0].is_error());
    }
    faults.send("still", &[]).await;
    assert_eq!(carol.received_until(&topic, 4).await, [3, 4]);
    assert_eq!(begun.session.unsubscribe(vec!["m/#".to_owned()]).await, [Code::SUCCESS]);
    faults.send("over", &[]).await;
    assert_eq!(carol.received_until(&plain, 5).await, [2, 3, 4, 5]);
    assert_eq!(carol.received_until(&topic, 4).await, [3, 4]);
}

/// A session whose opening was done and not answered counts as ended: it expires like any other.
#[tokio::test]
async fn a_session_whose_opening_was_not_answered_expires() {
    let faults = faults(Duration::from_secs(30)).await;
    let world = &faults.world;
    faults.store.will_in_sessions(&[Lost]);
    let tablet = Device::new(identity("bob:tablet"), 100);
    let begin = Begin { clean: false, expiry_s: 60 };
    assert!(world.bridge.open(Arc::clone(&tablet) as Arc<_>, begin).await.is_err());
    let prune = |now_ms| Prune { now_ms, bodies_before_ms: None, rows_max: 100 };
    let later = u64::try_from(i64::MAX / 4).expect("a time");
    godwit_testkit::until("the session's end", async || {
        let pruned = world.store.prune(prune(later)).await.expect("a store");
        (pruned.sessions == 1).then_some(())
    })
    .await;
}

/// The session that comes next never waits for the one before, and comes after it all the same.
#[tokio::test]
async fn an_end_and_the_next_beginning_keep_their_order() {
    let faults = faults(Duration::from_secs(30)).await;
    let world = &faults.world;
    for round in 0..30_u32 {
        let tablet = Device::new(identity("bob:tablet"), 100);
        let begun = world.connect(&tablet, 3600).await;
        // In every third round the session was over with its connection.
        assert_eq!(begun.present, round % 3 != 0, "round {round}");
        let code = begun.session.subscribe(subscribe("m/#")).await[0];
        assert_eq!(code.0, 1);
        // Nobody waits for it.
        drop(begun.session.closed(if round % 3 == 2 { 0 } else { 3600 }));
    }
}

/// A device that comes back and keeps nothing any more leaves nothing behind.
#[tokio::test]
async fn what_is_kept_no_more_is_forgotten_at_the_end() {
    let faults = faults(Duration::from_secs(30)).await;
    let world = &faults.world;
    for expiry_s in [3600, 0] {
        let tablet = Device::new(identity("bob:tablet"), 100);
        let begun = world.connect(&tablet, expiry_s).await;
        assert_eq!(begun.present, expiry_s == 0);
        begun.session.closed(expiry_s).await;
    }
    let place = godwit_testkit::rows::Place::Sqlite(world.file());
    assert_eq!(place.count("sessions"), 0);
}

/// The batches before a send take none of its time beyond `hold_max`: behind a store that is away,
/// every send is let go when its own time is over.
#[tokio::test]
async fn queued_sends_are_held_no_longer_than_the_first() {
    let hold_max = Duration::from_millis(400);
    let faults = faults(hold_max).await;
    faults.store.will(&[Away; 40]);
    let mut waiting = Vec::new();
    // More than one batch: the first is under way, the others stand behind it.
    for n in 0..3 * godwit_core::limits::BATCH_SENDS_MAX {
        let (device, begun) = &faults.alice;
        waiting.push(faults.world.start(device, begun, &format!("k{n}")));
    }
    let begun = std::time::Instant::now();
    for ticket in waiting {
        assert_eq!(faults.alice.0.fate(ticket).await, withheld());
    }
    let took = begun.elapsed();
    assert!(took < 2 * hold_max, "{took:?}");
}

/// A fault in a device's own task ends its connection, with a code, and nobody else's: the others are
/// served, and the device gets what it missed when it comes back.
#[tokio::test]
async fn a_task_that_dies_ends_its_devices_connection_alone() {
    let faults = faults(Duration::from_secs(10)).await;
    let (world, phone) = (&faults.world, "bob:tablet");
    let topic = format!("m/{}", world.conversation);
    let tablet = Device::new(identity(phone), 100);
    let begun = world.connect(&tablet, 3600).await;
    begun.session.subscribe(subscribe("m/#")).await;
    begun.session.closed(3600).await;
    let Fate::Committed { seq, .. } = faults.send("missed", &[]).await else { panic!("not sent") };
    faults.store.will_panic_over_a_log();
    let tablet = Device::new(identity(phone), 100);
    let begun = world.connect(&tablet, 3600).await;
    assert_eq!(tablet.closed().await, Code::UNSPECIFIED);
    begun.session.closed(3600).await;
    // Others go on, and it comes back.
    faults.send("more", &[]).await;
    let tablet = Device::new(identity(phone), 100);
    let begun = world.connect(&tablet, 3600).await;
    tablet.attach(&begun.session);
    assert_eq!(tablet.received_until(&topic, seq + 1).await, [seq, seq + 1]);
}

/// Fates that wait for room on `a` are bounded: a device that takes none of them is cut.
#[tokio::test]
async fn a_device_that_does_not_read_its_fates_is_cut() {
    const FATES_MAX: usize = 1024;
    let faults = faults(Duration::from_secs(10)).await;
    let (alice, begun) = &faults.alice;
    begun.session.subscribe(subscribe("a")).await;
    alice.stop_taking();
    let refused = |n: usize| {
        // No user has such an id, so it never becomes a send.
        let topic = format!("c/{}/{}", faults.world.conversation, "x".repeat(40)).into();
        let message = Message { topic, payload: n.to_string().into(), properties: None };
        let (ticket, ack) = alice.expect();
        begun.session.publish(Publish { message, qos: Qos::AtLeastOnce, retain: false }, ack);
        ticket
    };
    for n in 0..FATES_MAX {
        alice.fate(refused(n)).await;
    }
    assert!(!alice.is_closed());
    alice.fate(refused(FATES_MAX)).await;
    assert_eq!(alice.closed().await, Code::QUOTA_EXCEEDED);
}
