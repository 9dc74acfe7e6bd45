//! Who of a user's devices gets what.

use godwit_testkit::wire::Version;

use super::payload;
use super::world::{BOTH, World};

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
