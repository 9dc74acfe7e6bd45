//! Plain topics and kept sessions: what was acknowledged to its publisher comes, whole and in order,
//! or is counted and told as dropped.

use std::collections::HashSet;
use std::time::Duration;

use godwit_testkit::probe::Probe;
use godwit_testkit::server::Options;
use godwit_testkit::wire::{self, Properties, Received, Value, Version, id};

use super::world::{BOTH, World};

const TOPIC: &str = "u/alice/x";

/// Publishes `name-first` to `name-(last - 1)` as alice's phone, a window at a time; each is
/// acknowledged as done.
async fn publish(phone: &mut Probe, numbers: std::ops::Range<u32>) {
    for chunk in numbers.collect::<Vec<_>>().chunks(32) {
        let mut packets = Vec::new();
        for n in chunk {
            let body = n.to_string();
            packets.push(phone.start_publish(TOPIC, body.as_bytes(), Properties::none()).await);
        }
        for packet in packets {
            assert_eq!(phone.answer(packet).await.code, 0);
        }
    }
}

fn number(payload: &[u8]) -> u32 {
    String::from_utf8_lossy(payload).parse().expect("a number")
}

/// alice's laptop with a kept session that reads her space, and away.
async fn laptop_away(world: &World, version: Version) {
    let (mut laptop, _) = world.kept(version, "alice", "laptop").await;
    laptop.subscribe("u/alice/#").await;
    laptop.disconnect(0).await;
}

/// The metric of messages that went for want of room.
async fn dropped(world: &World) -> u64 {
    let text = world.server.ask("GET", "/metrics", "", None).await.text;
    let line = text.lines().find(|line| {
        line.starts_with("godwit_broker_dropped_total") && line.contains("plain_queue_full")
    });
    let value = line.and_then(|line| line.rsplit(' ').next());
    value.map_or(0, |value| value.parse().expect("a number"))
}

#[tokio::test]
async fn what_is_kept_comes_whole() {
    let world = World::new().await;
    let mut phone = world.probe(Version::V5, "alice", "phone").await;
    for version in BOTH {
        laptop_away(&world, version).await;
        publish(&mut phone, 0..700).await;
        let (mut laptop, present) = world.kept(version, "alice", "laptop").await;
        assert!(present);
        for n in 0..700 {
            assert_eq!(number(&laptop.recv().await.payload), n);
        }
        laptop.fence().await;
        assert_eq!(laptop.left(), Vec::<String>::new());
        laptop.disconnect(0).await;
        world.probe(version, "alice", "laptop").await.disconnect(0).await;
    }
}

/// The reader goes and comes at any point, in any way, while the writer goes on.
#[tokio::test]
async fn a_reader_that_comes_and_goes_misses_nothing() {
    const MESSAGES: u32 = 4000;
    // Room for all of them: the writer is faster than a reader that is away most of the time.
    let options = Options::default().with("GODWIT__LIMITS__OFFLINE_DELIVERIES_MAX", "4000");
    let world = World::with(options).await;
    laptop_away(&world, Version::V5).await;
    let mut phone = world.probe(Version::V5, "alice", "phone").await;
    let writing = async {
        for first in (0..MESSAGES).step_by(100) {
            publish(&mut phone, first..first + 100).await;
        }
    };
    let reading = async {
        let (mut next, mut rounds) = (0, 0_u32);
        let mut waiting: Option<Probe> = None;
        while next < MESSAGES {
            // Taken over by itself, cut, or said goodbye: in turns.
            let (mut laptop, present) =
                world.kept(BOTH[rounds as usize % 2], "alice", "laptop").await;
            assert!(present);
            drop(waiting.take());
            for _ in 0..7 + rounds % 60 {
                if next >= MESSAGES {
                    break;
                }
                let got = laptop.recv().await;
                let n = number(&got.payload);
                // What was not known to be acknowledged comes again; nothing is left out.
                assert!(n <= next, "{n} before {next}, in round {rounds}");
                next = next.max(n + 1);
            }
            match rounds % 3 {
                0 => laptop.cut(),
                1 => laptop.disconnect(0).await,
                _ => waiting = Some(laptop),
            }
            rounds += 1;
        }
        rounds
    };
    let ((), rounds) = tokio::join!(writing, reading);
    assert!(rounds > 10, "{rounds}");
    assert_eq!(dropped(&world).await, 0);
}

#[tokio::test]
async fn what_went_for_want_of_room_is_told() {
    let options = Options::default().with("GODWIT__LIMITS__OFFLINE_DELIVERIES_MAX", "10");
    let world = World::with(options).await;
    let mut phone = world.probe(Version::V5, "alice", "phone").await;
    laptop_away(&world, Version::V5).await;
    publish(&mut phone, 0..25).await;
    let hello = world.hello(Version::V5, "alice", "laptop").await.kept();
    let (mut laptop, welcome) = Probe::connect(&world.mqtt(), &hello).await;
    assert_eq!(welcome.properties.user("dropped"), Some("15"), "{welcome:?}");
    assert_eq!(dropped(&world).await, 15);
    for n in 15..25 {
        assert_eq!(number(&laptop.recv().await.payload), n);
    }
    laptop.fence().await;
    laptop.disconnect(0).await;
    let (laptop, welcome) = Probe::connect(&world.mqtt(), &hello).await;
    assert_eq!(welcome.properties.user("dropped"), None, "told once: {welcome:?}");
    laptop.disconnect(0).await;
    // Bytes are bounded as well: 1 MiB.
    let body = vec![b'x'; 100_000];
    for _ in 0..10 {
        phone.publish(TOPIC, &body).await;
    }
    phone.publish(TOPIC, &[0; 200_000]).await;
    let (mut laptop, welcome) = Probe::connect(&world.mqtt(), &hello).await;
    assert_eq!(welcome.properties.user("dropped"), Some("2"), "{welcome:?}");
    for _ in 0..8 {
        assert_eq!(laptop.recv().await.payload.len(), 100_000);
    }
    assert_eq!(laptop.recv().await.payload.len(), 200_000);
}

/// A connected subscriber that takes nothing loses the oldest, and is told so when it comes back.
#[tokio::test]
async fn a_slow_subscriber_loses_the_oldest_and_is_told() {
    let options = Options::default()
        .with("GODWIT__LIMITS__OFFLINE_DELIVERIES_MAX", "50")
        .with("GODWIT__LIMITS__QUEUE_DELIVERIES_MAX", "100")
        .with("GODWIT__LIMITS__INFLIGHT_DEFAULT", "10")
        .with("GODWIT__LIMITS__INFLIGHT_MAX", "10");
    let world = World::with(options).await;
    let (mut laptop, _) = world.kept(Version::V5, "alice", "laptop").await;
    laptop.subscribe("u/alice/#").await;
    laptop.acknowledge = false;
    let mut phone = world.probe(Version::V5, "alice", "phone").await;
    // 10 in flight, 100 in the queue; 40 go.
    publish(&mut phone, 0..150).await;
    for n in 0..10 {
        assert_eq!(number(&laptop.recv().await.payload), n);
    }
    assert_eq!(dropped(&world).await, 40);
    laptop.cut();
    let hello = world.hello(Version::V5, "alice", "laptop").await.kept();
    let (mut laptop, welcome) = Probe::connect(&world.mqtt(), &hello).await;
    // Away, it has room for 50.
    assert_eq!(welcome.properties.user("dropped"), Some("90"), "{welcome:?}");
    for n in (0..10).chain(100..150) {
        assert_eq!(number(&laptop.recv().await.payload), n);
    }
}

#[tokio::test]
async fn what_was_in_flight_comes_again_within_the_clients_window() {
    let world = World::new().await;
    let hello = world.hello(Version::V5, "alice", "laptop").await.kept();
    let (mut laptop, _) = Probe::connect(&world.mqtt(), &hello).await;
    laptop.subscribe("u/alice/#").await;
    laptop.acknowledge = false;
    let mut phone = world.probe(Version::V5, "alice", "phone").await;
    publish(&mut phone, 0..60).await;
    let mut packets = Vec::new();
    for n in 0..60 {
        let got = laptop.recv().await;
        assert_eq!(number(&got.payload), n);
        packets.push(got.packet_id);
    }
    laptop.cut();
    let small = hello.with(id::RECEIVE_MAX, Value::Two(5));
    let (mut laptop, welcome) = Probe::connect(&world.mqtt(), &small).await;
    assert!(welcome.present);
    laptop.acknowledge = false;
    let mut first = Vec::new();
    for _ in 0..5 {
        first.push(laptop.recv().await);
    }
    laptop.fence().await;
    assert_eq!(laptop.left(), Vec::<String>::new(), "beyond the client's Receive Maximum");
    publish(&mut phone, 60..80).await;
    for got in &first {
        laptop.write(&wire::puback(got.packet_id)).await;
    }
    laptop.acknowledge = true;
    let mut ids = HashSet::new();
    for n in 0..80 {
        let got = match first.is_empty() {
            true => laptop.recv().await,
            false => first.remove(0),
        };
        assert_eq!((number(&got.payload), got.dup), (n, n < 60));
        if n < 60 {
            assert_eq!(got.packet_id, packets[n as usize], "its old packet id");
            assert!(ids.insert(got.packet_id));
        }
    }
}

/// A token that may read `secret/#`, or not.
async fn token(world: &World, acl: bool) -> String {
    let mut words = vec!["token", "--user", "alice", "--device", "spy", "--ttl", "1h"];
    if acl {
        words.extend(["--acl-sub", "secret/#"]);
    }
    let (fine, text) = world.server.command(&words).await;
    assert!(fine, "{text}");
    text.lines().last().expect("a token").trim().to_owned()
}

/// The operator's own telemetry: alice's phone with a token that may publish there.
async fn writer(world: &World) -> Probe {
    let words =
        ["token", "--user", "alice", "--device", "writer", "--ttl", "1h", "--acl-pub", "secret/#"];
    let (fine, text) = world.server.command(&words).await;
    assert!(fine, "{text}");
    let token = text.lines().last().expect("a token").trim().to_owned();
    let hello = godwit_testkit::probe::connect(Version::V5, "alice", "writer", &token);
    Probe::connect(&world.mqtt(), &hello).await.0
}

/// Nothing of `secret/#` comes, though it is published; what is the device's own still does.
async fn reads_no_secret(spy: &mut Probe, writer: &mut Probe) {
    writer.publish("secret/a", b"for others").await;
    writer.publish("u/alice/y", b"for alice").await;
    assert_eq!(spy.recv().await.topic, "u/alice/y");
    spy.fence().await;
    assert_eq!(spy.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_kept_subscription_ends_with_the_right_to_it() {
    let world = World::new().await;
    let mut writer = writer(&world).await;
    let hello =
        |token: &str| godwit_testkit::probe::connect(Version::V5, "alice", "spy", token).kept();
    let (strong, weak) = (token(&world, true).await, token(&world, false).await);
    let (mut spy, _) = Probe::connect(&world.mqtt(), &hello(&strong)).await;
    spy.subscribe("secret/#").await;
    spy.subscribe("u/alice/#").await;
    writer.publish("secret/a", b"seen").await;
    assert_eq!(spy.recv().await.payload, b"seen");
    spy.disconnect(0).await;
    // What comes while it is away is not handed to the weaker token either.
    writer.publish("secret/a", b"kept").await;
    let (mut spy, welcome) = Probe::connect(&world.mqtt(), &hello(&weak)).await;
    assert!(welcome.present);
    reads_no_secret(&mut spy, &mut writer).await;
    spy.disconnect(0).await;
    // Ended is ended, in the store as well: the right alone does not bring it back.
    let (mut spy, _) = Probe::connect(&world.mqtt(), &hello(&strong)).await;
    reads_no_secret(&mut spy, &mut writer).await;
    spy.subscribe("secret/#").await;
    writer.publish("secret/a", b"asked anew").await;
    assert_eq!(spy.recv().await.payload, b"asked anew");
}

#[tokio::test]
async fn a_fresh_token_that_allows_less_ends_what_it_does_not_allow() {
    const AUTH_METHOD: u8 = 0x15;
    const AUTH_DATA: u8 = 0x16;
    let world = World::new().await;
    let mut writer = writer(&world).await;
    let (strong, weak) = (token(&world, true).await, token(&world, false).await);
    let hello = godwit_testkit::probe::connect(Version::V5, "alice", "spy", &strong).kept();
    let method =
        |properties: Properties| properties.with(AUTH_METHOD, Value::Text(b"token".to_vec()));
    let hello = hello.with(AUTH_METHOD, Value::Text(b"token".to_vec()));
    let (mut spy, _) = Probe::connect(&world.mqtt(), &hello).await;
    spy.subscribe("secret/#").await;
    spy.subscribe("u/alice/#").await;
    let data = method(Properties::none()).with(AUTH_DATA, Value::Text(weak.into_bytes()));
    spy.write(&wire::auth(0x19, &data)).await;
    let is_auth = |packet: &Received| matches!(packet, Received::Auth { code: 0 }).then_some(());
    spy.wait_for("an AUTH", is_auth).await;
    reads_no_secret(&mut spy, &mut writer).await;
    spy.disconnect(0).await;
    let (mut spy, welcome) = Probe::connect(&world.mqtt(), &hello).await;
    assert!(welcome.present);
    reads_no_secret(&mut spy, &mut writer).await;
}

/// The same when the server was restarted in between, so that only the store knows of it.
#[tokio::test]
async fn a_stored_subscription_ends_with_the_right_to_it() {
    let mut world = World::new().await;
    let hello =
        |token: &str| godwit_testkit::probe::connect(Version::V5, "alice", "spy", token).kept();
    let (strong, weak) = (token(&world, true).await, token(&world, false).await);
    let (mut spy, _) = Probe::connect(&world.mqtt(), &hello(&strong)).await;
    spy.subscribe("secret/#").await;
    spy.subscribe("u/alice/#").await;
    spy.disconnect(0).await;
    world.server.stop().await;
    world.server.restart().await;
    let (spy, _) = Probe::connect(&world.mqtt(), &hello(&weak)).await;
    spy.disconnect(0).await;
    let left = "subscriptions where device_id = 'spy' and filter = 'secret/#'";
    godwit_testkit::until("the subscription's end", async || {
        (world.server.store().count(left) == 0).then_some(())
    })
    .await;
    tokio::time::timeout(Duration::from_secs(20), async {
        let mut writer = writer(&world).await;
        let (mut spy, _) = Probe::connect(&world.mqtt(), &hello(&strong)).await;
        reads_no_secret(&mut spy, &mut writer).await;
    })
    .await
    .expect("in time");
}
