//! Who of a user's devices gets what; devices listed, named, revoked.

use std::time::{Duration, Instant};

use godwit_testkit::chat::Chat;
use godwit_testkit::probe::Probe;
use godwit_testkit::until;
use godwit_testkit::wire::{Properties, Version};
use serde_json::{Value, json};

use super::inbox::now_ms;
use super::payload;
use super::side::Side;
use super::world::{BOTH, World};

on_both_stores!(
    revocations_outlive_the_server,
    a_revocation_needs_no_signal,
    users_are_suspended_and_all_devices_revoked,
);
in_both_versions!(devices_are_listed_and_named, a_revoked_device_is_cut_within_a_second);

#[tokio::test]
async fn the_senders_other_devices_get_it_and_the_sending_one_only_its_fate() {
    let world = World::new().await;
    for version in BOTH {
        let mut phone = world.probe(version, "alice", "phone").await;
        phone.subscribe("m/#").await;
        phone.subscribe("a").await;
        let mut laptop = world.probe(version, "alice", "laptop").await;
        laptop.subscribe("m/#").await;
        let mut bob = world.probe(version, "bob", "phone").await;
        bob.subscribe("m/#").await;
        phone.publish(&world.s(), &payload::send(&format!("k{version:?}"), b"mine")).await;
        for other in [&mut laptop, &mut bob] {
            assert_eq!(payload::entry(&other.recv().await.payload).body.as_ref(), b"mine");
        }
        // bob's answer is the next thing that the phone hears of the conversation.
        bob.publish(&world.s(), &payload::send(&format!("r{version:?}"), b"yours")).await;
        let answer = phone.recv_on("m/").await;
        assert_eq!(payload::entry(&answer.payload).body.as_ref(), b"yours");
        assert_eq!(payload::fates(&phone.recv_on("a").await)[0].code, 0);
        assert_eq!(phone.left(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_plain_client_hears_itself_unless_it_says_no_local() {
    let world = World::new().await;
    let mut echo = world.probe(Version::V3, "alice", "phone").await;
    echo.subscribe(&world.c()).await;
    echo.publish(&world.keyed("k1"), b"hear me").await;
    assert_eq!(echo.recv().await.payload, b"hear me");

    let mut quiet = world.probe(Version::V5, "alice", "laptop").await;
    let no_local = 0b101;
    assert_eq!(quiet.subscribe_with(&[(&world.c(), no_local)]).await, [1]);
    quiet.publish(&world.keyed("k2"), b"not to me").await;
    assert_eq!(echo.recv().await.payload, b"not to me");
    echo.publish(&world.keyed("k3"), b"but this").await;
    assert_eq!(quiet.recv().await.payload, b"but this");
    assert_eq!(quiet.left(), Vec::<String>::new());
}

#[tokio::test]
async fn one_filter_takes_all_that_a_device_may_read() {
    let world = World::new().await;
    for version in BOTH {
        let mut bob = world.probe(version, "bob", "phone").await;
        bob.subscribe("#").await;
        let mut alice = world.probe(version, "alice", "phone").await;
        alice.publish(&world.keyed(&format!("k{version:?}")), b"hello").await;
        let entry = payload::entry(&bob.recv_on("m/").await.payload);
        assert_eq!(entry.body.as_ref(), b"hello");
        assert_eq!(bob.recv_on("c/").await.payload, b"hello");
        bob.publish(&world.keyed(&format!("b{version:?}")), b"mine").await;
        assert_eq!(payload::fates(&bob.recv_on("a").await)[0].code, 0);
        bob.publish("u/bob/notes", b"own").await;
        assert_eq!(bob.recv_on("u/").await.payload, b"own");
        // alice's own space is hers.
        alice.publish("u/alice/notes", b"private").await;
        bob.publish("u/bob/notes", b"marker").await;
        assert_eq!(bob.recv_on("u/").await.payload, b"marker");
    }
}

#[tokio::test]
async fn an_ended_subscription_gets_nothing() {
    let world = World::new().await;
    for version in BOTH {
        let mut bob = world.probe(version, "bob", "phone").await;
        bob.subscribe("m/#").await;
        bob.subscribe("u/bob/#").await;
        bob.unsubscribe("m/#").await;
        let mut alice = world.probe(version, "alice", "phone").await;
        alice.publish(&world.c(), b"unheard").await;
        let mut laptop = world.probe(version, "alice", "laptop").await;
        laptop.subscribe("m/#").await;
        alice.publish(&world.c(), b"heard by the laptop").await;
        laptop.recv().await;
        bob.publish("u/bob/marker", b"").await;
        assert_eq!(bob.recv().await.topic, "u/bob/marker");
    }
}

/// The devices of a person as REST lists them: id and name.
async fn listed(side: &Side<'_>, name: &str) -> Vec<(String, String)> {
    let list = side.rest(name).await.get("/v1/devices").await.expect(200);
    let text = |device: &Value, field: &str| device[field].as_str().expect("a text").to_owned();
    let devices = list["devices"].as_array().expect("a list");
    devices.iter().map(|device| (text(device, "device"), text(device, "name"))).collect()
}

async fn devices_are_listed_and_named(side: Side<'_>) {
    let before = now_ms();
    let _phone = side.chat("alice", "phone").await;
    let _laptop = side.chat("alice", "laptop").await;
    let _other = side.chat("bob", "tablet").await;
    // Noted beside the way of messages: a moment later.
    until("both devices", async || (listed(&side, "alice").await.len() >= 2).then_some(())).await;
    let alice = side.rest("alice").await;
    let list = alice.get("/v1/devices").await.expect(200);
    let phone = list["devices"].as_array().and_then(|d| d.iter().find(|d| d["device"] == "phone"));
    let phone = phone.expect("the phone");
    let connected = phone["connected_ms"].as_u64().expect("a time");
    assert!((before - 1000..=now_ms() + 1000).contains(&connected), "{phone}");
    assert_eq!(phone["revoked_ms"], Value::Null);
    let name = json!({ "name": "Alice's phone \u{1F4F1}" });
    alice.patch("/v1/devices/phone", &name).await.expect(200);
    let devices = listed(&side, "alice").await;
    let named: Vec<_> = devices.iter().filter(|(id, _)| id != "web").cloned().collect();
    let expected = [("laptop", ""), ("phone", "Alice's phone \u{1F4F1}")];
    assert_eq!(named, expected.map(|(id, name)| (id.to_owned(), name.to_owned())));
    // Connecting again keeps the name.
    let _phone = side.chat("alice", "phone").await;
    assert_eq!(listed(&side, "alice").await, devices);
    // What cannot be.
    let user = side.id("alice");
    let bob = side.rest("bob").await;
    let refused = bob.patch(&format!("/v1/devices/phone?user={user}"), &name).await;
    assert_eq!(refused.problem(403), "forbidden");
    assert_eq!(bob.get(&format!("/v1/devices?user={user}")).await.problem(403), "forbidden");
    assert_eq!(alice.patch("/v1/devices/never-seen", &name).await.problem(404), "not_found");
    let long = json!({ "name": "x".repeat(129) });
    assert_eq!(alice.patch("/v1/devices/phone", &long).await.problem(400), "bad_request");
    let operator = side.operator();
    assert_eq!(operator.get("/v1/devices").await.problem(400), "bad_request", "whose?");
    let seen = operator.get(&format!("/v1/devices?user={user}")).await.expect(200);
    assert_eq!(seen["devices"].as_array().map(Vec::len), Some(devices.len()));
}

async fn a_revoked_device_is_cut_within_a_second(side: Side<'_>) {
    let cid = side.direct("alice", "bob").await;
    let mut bob = side.chat("bob", "phone").await;
    let hello = side.hello("alice", "phone").await.kept();
    let space = format!("u/{}", side.id("alice"));
    let will = hello.clone().with_will(&format!("{space}/will"), b"gone", Properties::none());
    let (mut phone, _) = Chat::connect(&side.world.mqtt(), &will).await;
    let mut laptop = side.chat("alice", "laptop").await;
    laptop.probe.subscribe(&format!("{space}/#")).await;
    phone.say(&cid, "still mine").await;
    let alice = side.rest("alice").await;
    let asked = Instant::now();
    let shown = alice.delete("/v1/devices/phone").await.expect(200);
    let code = phone.probe.ended().await;
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(1), "cut after {took:?}");
    match side.version {
        Version::V3 => assert_eq!(code, None),
        Version::V5 => assert!(matches!(code, Some(0x87 | 0x98)), "{code:02x?}"),
    }
    assert!(shown["revoked_ms"].is_u64(), "{shown}");
    // Its token is worth nothing any more, here and at REST.
    let (_, welcome) = Probe::try_connect(&side.world.mqtt(), &hello).await;
    let refused = if side.version == Version::V3 { [4, 5] } else { [0x86, 0x87] };
    assert!(refused.contains(&welcome.code), "{welcome:?}");
    let old = side.world.server.caller(hello.password.as_deref().expect("a token"));
    assert_eq!(old.get("/v1/inbox").await.problem(401), "unauthorized");
    // Its will is not its user's any more; its other device goes on.
    laptop.probe.publish(&format!("{space}/marker"), b"").await;
    assert_eq!(laptop.probe.recv_on(&space).await.topic, format!("{space}/marker"));
    bob.hears(&cid, "still mine").await;
    bob.say(&cid, "who is there?").await;
    laptop.hears(&cid, "still mine").await;
    laptop.hears(&cid, "who is there?").await;
    // A token that is issued later lets it in; what was kept for it is forgotten.
    let address = side.world.mqtt();
    let (mut phone, present) = until("a fresh token", async || {
        let hello = side.hello("alice", "phone").await.kept();
        let (probe, welcome) = Probe::try_connect(&address, &hello).await;
        (welcome.code == 0).then_some((probe, welcome.present))
    })
    .await;
    assert!(!present, "the kept session went with the device");
    assert_eq!(phone.publish(&format!("c/{cid}"), b"back").await.code, 0);
    // Nobody revokes another's; an operator may.
    let mallory = side.rest("mallory").await;
    let path = format!("/v1/devices/phone?user={}", side.id("alice"));
    assert_eq!(mallory.delete(&path).await.problem(403), "forbidden");
    assert_eq!(phone.publish(&format!("c/{cid}"), b"still here").await.code, 0);
    side.operator().delete(&path).await.expect(200);
    phone.ended().await;
}

/// A device that was never seen can be revoked (its token was stolen before it was used), and a
/// restart forgets no revocation.
async fn revocations_outlive_the_server(mut world: World) {
    let stolen = world.hello(Version::V5, "alice", "stolen").await;
    let operator = world.server.caller(world.server.admin());
    operator.delete("/v1/devices/stolen?user=alice").await.expect(200);
    for round in 0..2 {
        let (_, welcome) = Probe::try_connect(&world.mqtt(), &stolen).await;
        assert!(matches!(welcome.code, 0x86 | 0x87), "round {round}: {welcome:?}");
        if round == 0 {
            world.server.stop().await;
            world.server.restart().await;
        }
    }
    let (mut phone, _) =
        Probe::connect(&world.mqtt(), &world.hello(Version::V5, "alice", "phone").await).await;
    assert_eq!(phone.publish(&world.c(), b"another device").await.code, 0);
}

/// Revocations are durable facts: one that another process has written, of which no signal tells, cuts
/// within a second.
async fn a_revocation_needs_no_signal(world: World) {
    let hello = world.hello(Version::V5, "alice", "phone").await.kept();
    let (mut phone, _) = Probe::connect(&world.mqtt(), &hello).await;
    let mut laptop = world.probe(Version::V5, "alice", "laptop").await;
    let now = now_ms();
    let store = world.server.store();
    let number = store.ask("update revocation_numbers set last = last + 1 returning last");
    assert_eq!(number.len(), 1, "{number:?}");
    let none = store.ask(&format!(
        "insert into revocations (user_id, device_id, number, revoked_ms, barred) \
         select 'alice', 'phone', last, {now}, false from revocation_numbers"
    ));
    assert!(none.is_empty());
    let told = Instant::now();
    phone.ended().await;
    assert!(told.elapsed() < Duration::from_secs(1), "cut after {:?}", told.elapsed());
    let (_, welcome) = Probe::try_connect(&world.mqtt(), &hello).await;
    assert_eq!(welcome.code, 0x87, "{welcome:?}");
    assert_eq!(laptop.publish(&world.c(), b"still here").await.code, 0);
}

/// Operators suspend users; a person ends all devices at once, also tokens that nobody has used yet. A
/// token from the future gets past neither.
async fn users_are_suspended_and_all_devices_revoked(world: World) {
    let operator = world.server.caller(world.server.admin());
    let hello = world.hello(Version::V5, "alice", "tablet").await.kept();
    let unused = world.hello(Version::V5, "alice", "unused").await;
    let (mut phone, _) = Probe::connect(&world.mqtt(), &hello).await;
    let mut bob = world.probe(Version::V5, "bob", "phone").await;
    operator.ask("PUT", "/v1/users/alice/suspension", &[], None).await.expect(200);
    assert!(matches!(phone.ended().await, Some(0x87 | 0x98)));
    for hello in [&hello, &unused, &world.hello(Version::V5, "alice", "tablet").await] {
        assert_eq!(Probe::try_connect(&world.mqtt(), hello).await.1.code, 0x87);
    }
    assert_eq!(bob.publish(&world.c(), b"where are you?").await.code, 0);
    operator.delete("/v1/users/alice/suspension").await.expect(200);
    let fresh = world.hello(Version::V5, "alice", "tablet").await.kept();
    let (mut phone, welcome) = Probe::connect(&world.mqtt(), &fresh).await;
    assert!(!welcome.present, "what was kept has ended");
    assert_eq!(Probe::try_connect(&world.mqtt(), &unused).await.1.code, 0x87);
    // All devices, by the person.
    let unused = world.hello(Version::V5, "alice", "unused").await;
    let alice = world.server.caller(fresh.password.as_deref().expect("a token"));
    alice.delete("/v1/devices").await.expect(204);
    phone.ended().await;
    assert_eq!(Probe::try_connect(&world.mqtt(), &unused).await.1.code, 0x87);
    assert_eq!(alice.get("/v1/inbox").await.problem(401), "unauthorized");
    assert_eq!(bob.publish(&world.c(), b"still here").await.code, 0);
}
