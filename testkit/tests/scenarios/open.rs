//! `godwit dev --open`: anonymous clients, every topic but `$...` plain and open to them.

use godwit_testkit::probe::Probe;
use godwit_testkit::server::Options;
use godwit_testkit::wire::{self, Connect, Properties, Publish, Version, id};

use super::payload;
use super::world::{BOTH, World};

fn anonymous(version: Version, client_id: &str) -> Connect {
    Connect {
        version,
        client_id: client_id.to_owned(),
        user_name: None,
        password: None,
        clean: true,
        keep_alive_s: 0,
        properties: Properties::none(),
        will: None,
    }
}

async fn open() -> World {
    World::with(Options { open: true, ..Options::default() }).await
}

#[tokio::test]
async fn anonymous_clients_talk_on_any_topic() {
    let world = open().await;
    for version in BOTH {
        let (mut one, _) =
            Probe::connect(&world.mqtt(), &anonymous(version, "any id/at#all")).await;
        let (mut two, welcome) = Probe::connect(&world.mqtt(), &anonymous(version, "")).await;
        if version == Version::V5 {
            assert!(welcome.properties.text(id::ASSIGNED_CLIENT_ID).is_some_and(|i| !i.is_empty()));
        }
        for filter in ["a/+/c", "s/#", "/", "TopicA"] {
            one.subscribe(filter).await;
        }
        for topic in ["a/b/c", "s/x", "/", "TopicA"] {
            two.publish(topic, topic.as_bytes()).await;
            let got = one.recv().await;
            assert_eq!((got.topic.as_str(), got.payload.as_slice()), (topic, topic.as_bytes()));
        }
        two.publish("a/b", b"not matched").await;
        two.publish("TopicA", b"marker").await;
        assert_eq!(one.recv().await.payload, b"marker");
        // Where the subscriptions overlap, each message still comes. [MQTT-3.3.4-2]
        one.subscribe("#").await;
        two.publish("anything", b"").await;
        assert_eq!(one.recv().await.topic, "anything");
        let refused = one.subscribe_with(&[("$SYS/#", 1)]).await;
        assert_eq!(refused, [if version == Version::V5 { 0x87 } else { 0x80 }]);
        one.disconnect(0).await;
        two.disconnect(0).await;
    }
}

#[tokio::test]
async fn anonymous_sessions_and_retained_messages_are_kept() {
    let world = open().await;
    for version in BOTH {
        let kept = anonymous(version, "keeper").kept();
        let (mut keeper, welcome) = Probe::connect(&world.mqtt(), &kept).await;
        assert!(!welcome.present);
        keeper.subscribe("news/#").await;
        keeper.disconnect(0).await;
        let (mut other, _) = Probe::connect(&world.mqtt(), &anonymous(version, "other")).await;
        for n in 0..20 {
            other.publish("news/today", &[n]).await;
        }
        let retained = Publish {
            qos: 1,
            retain: true,
            topic: "state/x".to_owned(),
            packet_id: other.fresh_id(),
            payload: b"on".to_vec(),
            ..Publish::default()
        };
        other.write(&wire::publish(version, &retained)).await;
        other.answer(retained.packet_id).await;
        let (mut keeper, welcome) = Probe::connect(&world.mqtt(), &kept).await;
        assert!(welcome.present);
        for n in 0..20 {
            assert_eq!(keeper.recv().await.payload, [n]);
        }
        keeper.subscribe("state/#").await;
        let got = keeper.recv().await;
        assert_eq!((got.payload.as_slice(), got.retain), (&b"on"[..], true));
        keeper.disconnect(0).await;
        Probe::connect(&world.mqtt(), &anonymous(version, "keeper")).await.0.disconnect(0).await;
    }
}

#[tokio::test]
async fn devices_with_tokens_keep_their_topics() {
    let world = open().await;
    let mut bob = world.probe(Version::V5, "bob", "phone").await;
    bob.subscribe("m/#").await;
    let (mut stranger, _) =
        Probe::connect(&world.mqtt(), &anonymous(Version::V5, "stranger")).await;
    stranger.subscribe("#").await;
    // The same names are other topics for it: this is no send.
    stranger.publish(&world.s(), &payload::send("k", b"forged")).await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    assert_eq!(alice.publish(&world.s(), &payload::send("k", b"real")).await.code, 0);
    assert_eq!(payload::entry(&bob.recv().await.payload).body.as_ref(), b"real");
    assert_eq!(stranger.recv().await.topic, world.s());
    stranger.publish("marker", b"").await;
    assert_eq!(stranger.recv().await.topic, "marker", "conversations are not heard from outside");
}
