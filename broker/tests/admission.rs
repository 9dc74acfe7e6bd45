//! Who is turned away before anything costly, and whose right ends while the session is open.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests are test code"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use godwit_broker::listen::{self, Census, Kind, Listener, Share};
use godwit_broker::{Broker, Options};
use godwit_core::cursor::Mark;
use godwit_core::edge::{
    Ack, Action, Admitted, Begin, Begun, Code, Credentials, Downlink, Gate, Grant, Outcome,
    Publish, Session, SubscribeRequest, Task, Upstream,
};
use godwit_core::tasks::Supervisor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Lets everybody in, counts them, and may take the right back.
#[derive(Default)]
struct Door {
    asked: AtomicUsize,
    ended: AtomicBool,
    /// The right ends as soon as it was given.
    short: bool,
    /// Whoever publishes to `due` is a fault.
    armed: AtomicBool,
}

impl Gate for Door {
    fn authenticate(&self, credentials: Credentials) -> Task<'_, Result<Admitted, Outcome>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            self.ended.fetch_or(self.short, Ordering::SeqCst);
            Ok(Admitted {
                identity: credentials.client_id.parse().ok(),
                client_id: credentials.client_id,
                publish: Vec::new(),
                subscribe: Vec::new(),
                issued_ms: None,
                expires_ms: None,
            })
        })
    }

    fn authorize(&self, _: &Admitted, action: Action<'_>) -> Grant {
        let (Action::Publish(topic) | Action::Subscribe(topic)) = action;
        assert_ne!(topic, "panic now");
        assert!(topic != "due" || !self.armed.load(Ordering::SeqCst), "as it was asked to");
        Grant { mounted: false, plain: vec![topic.to_owned()] }
    }

    fn holds(&self, _: &Admitted) -> bool {
        !self.ended.load(Ordering::SeqCst)
    }
}

/// Remembers for how long each session was to be kept.
#[derive(Default)]
struct Above(Arc<parking_lot::Mutex<Vec<u32>>>);

struct Device(Arc<parking_lot::Mutex<Vec<u32>>>);

impl Upstream for Above {
    fn open(&self, _: Arc<dyn Downlink>, _: Begin) -> Task<'_, Result<Begun, Outcome>> {
        let session = Arc::new(Device(Arc::clone(&self.0)));
        Box::pin(async move { Ok(Begun { session, present: false, subscriptions: Vec::new() }) })
    }
}

impl Session for Device {
    fn publish(&self, _: Publish, ack: Ack) {
        ack.settle(Outcome::SUCCESS);
    }

    fn subscribe(&self, requests: Vec<SubscribeRequest>) -> Task<'_, Vec<Code>> {
        Box::pin(async move {
            let panics = requests.iter().any(|r| r.subscription.filter == "panic later");
            assert!(!panics, "as it was asked to");
            vec![Code(1); requests.len()]
        })
    }

    fn unsubscribe(&self, filters: Vec<String>) -> Task<'_, Vec<Code>> {
        Box::pin(async move { vec![Code::SUCCESS; filters.len()] })
    }

    fn confirmed(&self, _: &[Mark]) {}

    fn writable(&self) {}

    fn closed(&self, expiry_s: u32) -> Task<'static, ()> {
        self.0.lock().push(expiry_s);
        Box::pin(async {})
    }
}

struct World {
    broker: Arc<Broker>,
    door: Arc<Door>,
    closed: Arc<parking_lot::Mutex<Vec<u32>>>,
    address: std::net::SocketAddr,
}

impl World {
    fn new(census: Arc<Census>, door: Door) -> Self {
        let (door, above) = (Arc::new(door), Above::default());
        let closed = Arc::clone(&above.0);
        let gate = Arc::clone(&door) as Arc<dyn Gate>;
        let supervisor = Supervisor::new(|death| panic!("{death}"));
        let broker =
            Broker::new(Options::default(), census, gate, Some(Arc::new(above)), supervisor);
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(any, Kind::Tcp, listen::Options::default()).unwrap();
        let address = listener.address();
        broker.serve(listener);
        Self { broker, door, closed, address }
    }

    /// Connects and gives the CONNACK.
    async fn connect(&self, hello: &[u8]) -> (TcpStream, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(hello).await.unwrap();
        let welcome = packet(&mut stream).await;
        assert_eq!(welcome.first(), Some(&0x20), "a CONNACK: {welcome:x?}");
        (stream, welcome)
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("in time")
}

/// The next packet; they are all short here.
async fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 2];
    soon(stream.read_exact(&mut head)).await.unwrap();
    let mut rest = vec![0; usize::from(head[1])];
    soon(stream.read_exact(&mut rest)).await.unwrap();
    [&head[..], &rest].concat()
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    soon(stream.read_u8()).await.is_err()
}

/// A CONNECT of MQTT 5 as `a:b`, for a session that is kept for a minute.
const HELLO_5: &[u8] = b"\x10\x15\0\x04MQTT\x05\0\0\x3c\x05\x11\0\0\0\x3c\0\x03a:b";
/// The same of MQTT 3.1.1, with a clean session.
const HELLO_3: &[u8] = b"\x10\x0f\0\x04MQTT\x04\x02\0\x3c\0\x03a:b";

/// The wait of a CONNACK of MQTT 5, in milliseconds.
fn wait_ms(welcome: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(welcome);
    let (_, rest) = text.split_once("retry_after_ms").expect("a wait");
    rest.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// One a second, as long as the three of them come within that second: a machine may stand still.
#[tokio::test]
async fn who_comes_too_fast_is_told_to_wait_before_the_token_is_looked_at() {
    let share = Share { connections_max: 9, connects_per_s: 1 };
    let (world, [first, second, third]) = loop {
        let world = World::new(Census::of_shares(9, share, share), Door::default());
        let begin = Instant::now();
        let mut all = Vec::new();
        for hello in [HELLO_5, HELLO_5, HELLO_3] {
            all.push(world.connect(hello).await);
        }
        if begin.elapsed() < Duration::from_secs(1)
            && let Ok(all) = all.try_into()
        {
            break (world, all);
        }
    };
    assert_eq!(first.1[3], 0);
    let (mut refused, welcome) = second;
    assert_eq!(welcome[3], 0x9F);
    assert!((1..=1000).contains(&wait_ms(&welcome)), "{welcome:x?}");
    assert!(is_closed(&mut refused).await);
    let (mut refused, welcome) = third;
    assert_eq!(welcome, [0x20, 2, 0, 3]);
    assert!(is_closed(&mut refused).await);
    assert_eq!(world.door.asked.load(Ordering::SeqCst), 1);
    world.broker.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn whoever_has_no_place_is_told_so() {
    let world = World::new(Census::new(1, 9), Door::default());
    let (_first, welcome) = world.connect(HELLO_5).await;
    assert_eq!(welcome[3], 0);
    let (mut refused, welcome) = world.connect(HELLO_5).await;
    assert_eq!((welcome[3], wait_ms(&welcome)), (0x97, 5000));
    assert!(is_closed(&mut refused).await);
    // One that says nothing, and one that speaks no MQTT, are closed without a word.
    let mut silent = TcpStream::connect(world.address).await.unwrap();
    let mut strange = TcpStream::connect(world.address).await.unwrap();
    strange.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(is_closed(&mut strange).await && is_closed(&mut silent).await);
    assert_eq!(world.door.asked.load(Ordering::SeqCst), 1);
    world.broker.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_right_that_ends_while_the_session_opens_opens_nothing() {
    let world = World::new(Census::new(9, 9), Door { short: true, ..Door::default() });
    let (mut refused, welcome) = world.connect(HELLO_5).await;
    assert_eq!(welcome[3], 0x87);
    assert!(is_closed(&mut refused).await);
    assert_eq!(*world.closed.lock(), [0], "the session above is over, not kept");
    assert_eq!(world.broker.clients(), 0);
    world.broker.shutdown(Duration::from_secs(1)).await;
}

/// SUBSCRIBE to `x` with QoS 1.
const SUBSCRIBE: &[u8] = b"\x82\x07\0\x01\0\0\x01x\x01";

#[tokio::test]
async fn a_revoked_client_is_cut_and_nothing_is_kept() {
    let world = World::new(Census::new(9, 9), Door::default());
    let (mut stream, _) = world.connect(HELLO_5).await;
    stream.write_all(SUBSCRIBE).await.unwrap();
    assert_eq!(packet(&mut stream).await.last(), Some(&1));
    world.door.ended.store(true, Ordering::SeqCst);
    world.broker.revoke("a:b");
    let goodbye = packet(&mut stream).await;
    assert_eq!((goodbye[0], goodbye[2]), (0xE0, 0x87), "a DISCONNECT: {goodbye:x?}");
    assert!(is_closed(&mut stream).await);
    assert_eq!(*world.closed.lock(), [0]);

    // The same while it is away: what is kept for it goes.
    world.door.ended.store(false, Ordering::SeqCst);
    let (mut stream, welcome) = world.connect(HELLO_5).await;
    assert_eq!(welcome[2], 0, "no session was kept");
    stream.write_all(SUBSCRIBE).await.unwrap();
    packet(&mut stream).await;
    stream.write_all(b"\xe0\0").await.unwrap();
    assert!(is_closed(&mut stream).await);
    let (mut stream, welcome) = world.connect(HELLO_5).await;
    assert_eq!(welcome[2], 1, "now one was");
    stream.write_all(b"\xe0\0").await.unwrap();
    assert!(is_closed(&mut stream).await);
    soon(async {
        while world.broker.connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    world.broker.revoke("a:b");
    world.broker.revoke("nobody:here");
    let (_stream, welcome) = world.connect(HELLO_5).await;
    assert_eq!(welcome[2], 0, "it was forgotten");
    world.broker.shutdown(Duration::from_secs(1)).await;
}

/// A fault in what is done for one client ends its connection like any other end: the session above
/// is closed, and the client may come back at once.
#[tokio::test]
async fn a_panic_ends_one_connection_and_holds_no_place() {
    let world = World::new(Census::new(9, 9), Door::default());
    // In the task of a subscription; in the connection's own task.
    let later = b"\x82\x11\0\x01\0\0\x0bpanic later\x01".as_slice();
    let now = b"\x30\x0c\0\x09panic now\0".as_slice();
    for (round, (packets, told)) in [(later, true), (now, false), (later, true)].iter().enumerate()
    {
        let (mut stream, welcome) = world.connect(HELLO_5).await;
        assert_eq!(welcome[3], 0, "round {round}");
        stream.write_all(packets).await.unwrap();
        if *told {
            let goodbye = packet(&mut stream).await;
            assert_eq!((goodbye[0], goodbye[2]), (0xE0, 0x80), "a DISCONNECT: {goodbye:x?}");
        }
        assert!(is_closed(&mut stream).await);
        assert_eq!(world.closed.lock().len(), round + 1, "the session above is closed");
    }
    let (_stream, welcome) = world.connect(HELLO_5).await;
    assert_eq!(welcome[3], 0);
    world.broker.shutdown(Duration::from_secs(1)).await;
}

/// A CONNECT of MQTT 5 as `a:{device}`, kept for a minute, with a will to `topic` after a second.
fn mourned(device: char, topic: &str) -> Vec<u8> {
    let mut rest = b"\0\x04MQTT\x05\x04\0\x3c\x05\x11\0\0\0\x3c\0\x03a:".to_vec();
    rest.push(device as u8);
    rest.extend(b"\x05\x18\0\0\0\x01");
    rest.extend([0, u8::try_from(topic.len()).unwrap()]);
    rest.extend(topic.as_bytes());
    rest.extend(b"\0\x01w");
    [&[0x10, u8::try_from(rest.len()).unwrap()], &rest[..]].concat()
}

/// The sweeper looks at each client for itself: a fault with one leaves the others their deadlines.
#[tokio::test]
async fn a_panic_over_one_client_sweeps_the_others_all_the_same() {
    let world = World::new(Census::new(9, 9), Door::default());
    let (mut reader, _) = world.connect(HELLO_5).await;
    reader.write_all(SUBSCRIBE).await.unwrap();
    packet(&mut reader).await;
    let (faulty, _) = world.connect(&mourned('c', "due")).await;
    world.door.armed.store(true, Ordering::SeqCst);
    drop(faulty);
    // Later than that one, round after round.
    for _ in 0..2 {
        let (other, _) = world.connect(&mourned('d', "x")).await;
        drop(other);
        let will = packet(&mut reader).await;
        assert_eq!((will[0] & 0xF0, will.last()), (0x30, Some(&b'w')), "{will:x?}");
    }
    world.broker.shutdown(Duration::from_secs(1)).await;
}
