//! Who types: small packets, at most one a second, and none where nobody looks.

use std::time::{Duration, Instant};

use godwit_proto::conversation::v1::Role;
use godwit_proto::presence::v1::{presence, typing::State};
use godwit_testkit::chat::{ALL, Chat, remove, roles};
use godwit_testkit::wire::{Value, Version, id};

use super::groups::member;
use super::side::Side;

in_both_versions!(sqlite:
    a_word_and_a_pause,
    at_most_one_packet_a_second,
    silence_is_a_stop,
    every_end_is_told,
    a_removal_ends_it_for_who_is_left,
    a_message_says_it_all,
    a_device_in_the_background_is_left_alone,
    the_whole_packet_is_small,
    only_members_type_and_are_told,
);

async fn tag(chat: &mut Chat, cid: &str, user: &str) -> u32 {
    member(&chat.look(cid).await, user).tag
}

/// The next typing event must say this.
async fn told(chat: &mut Chat, cid: &str, state: State, tag: u32) {
    let got = chat.typing(cid).await;
    assert_eq!((got.state(), got.tag), (state, tag));
}

async fn a_word_and_a_pause(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let tag = tag(&mut bob, &cid, &side.id("alice")).await;
    // An empty payload is a START.
    alice.probe.publish_qos0(&format!("t/{cid}"), b"").await;
    told(&mut bob, &cid, State::Start, tag).await;
    let first = Instant::now();
    // A RENEW after three seconds is a START again; a STOP is passed on.
    tokio::time::sleep(Duration::from_millis(3000)).await;
    alice.types(&cid, State::Renew).await;
    told(&mut bob, &cid, State::Start, tag).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    alice.types(&cid, State::Stop).await;
    told(&mut bob, &cid, State::Stop, tag).await;
    let took = first.elapsed();
    assert!(
        took < Duration::from_millis(6000),
        "STOP came from the sender, not from silence: {took:?}"
    );
    // The typist is told nothing of it.
    alice.probe.fence().await;
    assert_eq!(alice.left("t/"), Vec::<String>::new());
}

async fn at_most_one_packet_a_second(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    let other = side.group(&["alice", "bob"]).await;
    let mut alice = side.chat("alice", "phone").await;
    let mut laptop = side.chat("alice", "laptop").await;
    let mut bob = side.chat("bob", "phone").await;
    let flood = async {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(3200) {
            // Two devices are one sender.
            alice.types(&cid, State::Start).await;
            laptop.types(&cid, State::Renew).await;
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        // Another conversation has its own second.
        alice.types(&other, State::Start).await;
    };
    let begin = Instant::now();
    let listen = async {
        bob.typing(&other).await;
        bob.left("t/").len() as u64
    };
    let ((), packets) = tokio::join!(flood, listen);
    // At 0, 1, 2 and 3 seconds; a machine at its limits takes longer over it.
    let most = begin.elapsed().as_secs() + 1;
    assert!((2..=most).contains(&packets), "{packets} packets in {:?}", begin.elapsed());
    // START and STOP within the same second: the second one waits, and the latest state wins.
    let pair = side.direct("alice", "bob").await;
    let tag = tag(&mut bob, &pair, &side.id("alice")).await;
    for state in [State::Start, State::Stop, State::Start, State::Stop] {
        alice.types(&pair, state).await;
    }
    told(&mut bob, &pair, State::Start, tag).await;
    let first = Instant::now();
    told(&mut bob, &pair, State::Stop, tag).await;
    let pause = first.elapsed();
    assert!((800..3000).contains(&pause.as_millis()), "{pause:?}");
}

async fn silence_is_a_stop(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let tag = tag(&mut bob, &cid, &side.id("alice")).await;
    alice.types(&cid, State::Start).await;
    told(&mut bob, &cid, State::Start, tag).await;
    let begin = Instant::now();
    // Connected, and without a word.
    alice.probe.fence().await;
    told(&mut bob, &cid, State::Stop, tag).await;
    let took = begin.elapsed();
    assert!((5500..8000).contains(&took.as_millis()), "after {took:?}");
}

/// A STOP that comes well before the silence is too long.
async fn ended(chat: &mut Chat, cid: &str, tag: u32, why: &str) {
    let begin = Instant::now();
    told(chat, cid, State::Stop, tag).await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(4), "{why}: after {took:?}");
}

async fn every_end_is_told(side: Side<'_>) {
    let pair = side.direct("alice", "bob").await;
    let mut bob = side.chat("bob", "phone").await;
    let tag = tag(&mut bob, &pair, &side.id("alice")).await;
    // The connection is gone without a word, or with one.
    for goodbye in [false, true] {
        let mut alice = side.chat("alice", "phone").await;
        alice.types(&pair, State::Start).await;
        told(&mut bob, &pair, State::Start, tag).await;
        if goodbye {
            alice.disconnect().await;
        } else {
            alice.probe.cut();
        }
        ended(&mut bob, &pair, tag, "gone").await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    // The device is revoked.
    let mut alice = side.chat("alice", "stolen").await;
    alice.types(&pair, State::Start).await;
    told(&mut bob, &pair, State::Start, tag).await;
    side.rest("alice").await.delete("/v1/devices/stolen").await.expect(200);
    ended(&mut bob, &pair, tag, "revoked").await;
    // Blocked: by the one who is told, and by the one who types.
    let mut alice = side.chat("alice", "phone").await;
    for (who, whom) in [("bob", "alice"), ("alice", "bob")] {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        alice.types(&pair, State::Start).await;
        told(&mut bob, &pair, State::Start, tag).await;
        let path = format!("/v1/blocks/{}", side.id(whom));
        side.rest(who).await.put(&path, &serde_json::Value::Null).await.expect(204);
        ended(&mut bob, &pair, tag, "blocked").await;
        // Nor does it begin again before the block ends.
        alice.types(&pair, State::Renew).await;
        alice.probe.fence().await;
        assert_eq!(bob.left("t/"), Vec::<String>::new());
        side.rest(who).await.delete(&path).await.expect(204);
    }
}

async fn a_removal_ends_it_for_who_is_left(side: Side<'_>) {
    let cid = side.group(&["alice", "bob", "carol", "dan"]).await;
    let (carol_id, dan_id) = (side.id("carol"), side.id("dan"));
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut carol = side.chat("carol", "phone").await;
    let mut dan = side.chat("dan", "phone").await;
    let carols = tag(&mut bob, &cid, &carol_id).await;
    let dans = tag(&mut bob, &cid, &dan_id).await;
    carol.types(&cid, State::Start).await;
    told(&mut bob, &cid, State::Start, carols).await;
    alice.changed(&cid, remove(&[&carol_id])).await;
    ended(&mut bob, &cid, carols, "removed").await;
    // Who may read only does not type on.
    dan.types(&cid, State::Start).await;
    told(&mut bob, &cid, State::Start, dans).await;
    alice.changed(&cid, roles(&[(&dan_id, Role::ReadOnly)])).await;
    ended(&mut bob, &cid, dans, "reads only").await;
}

async fn a_message_says_it_all(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let tag = tag(&mut bob, &cid, &side.id("alice")).await;
    alice.types(&cid, State::Start).await;
    told(&mut bob, &cid, State::Start, tag).await;
    alice.say(&cid, "there").await;
    bob.hears(&cid, "there").await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    // No STOP in between: whoever shows the message takes the dots away.
    alice.types(&cid, State::Start).await;
    told(&mut bob, &cid, State::Start, tag).await;
}

async fn a_device_in_the_background_is_left_alone(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut pocket = side.chat("bob", "pocket").await;
    pocket.is(presence::State::Background, &[]).await;
    alice.types(&cid, State::Start).await;
    bob.typing(&cid).await;
    alice.say(&cid, "there").await;
    pocket.hears(&cid, "there").await;
    assert_eq!(pocket.left("t/"), Vec::<String>::new(), "nothing while in the background");
    pocket.is(presence::State::Foreground, &[]).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    alice.types(&cid, State::Start).await;
    pocket.typing(&cid).await;
}

async fn the_whole_packet_is_small(side: Side<'_>) {
    // The typist has a tag of two bytes: the 200th member.
    let crowd: Vec<String> = (0..200).map(|n| format!("m{n}-")).collect();
    let mut names: Vec<&str> = crowd.iter().map(String::as_str).collect();
    names.push("alice");
    names.push("bob");
    let cid = side.group(&names).await;
    let mut alice = side.chat("alice", "phone").await;
    let hello = side.hello("bob", "phone").await;
    let hello = match side.version {
        Version::V3 => hello,
        Version::V5 => hello.with(id::TOPIC_ALIAS_MAX, Value::Two(16)),
    };
    let (mut bob, _) = Chat::connect_for(&side.world.mqtt(), &hello, &ALL).await;
    let tag = tag(&mut bob, &cid, &side.id("alice")).await;
    assert!(tag > 127, "{tag}");
    let mut sizes = Vec::new();
    for state in [State::Start, State::Renew, State::Stop] {
        alice.types(&cid, state).await;
        bob.typing(&cid).await;
        sizes.push(bob.probe.bytes[&format!("t/{cid}")]);
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    match side.version {
        // The topic stands in each packet: 24 bytes, and its length.
        Version::V3 => assert!(sizes.iter().all(|bytes| *bytes <= 35), "{sizes:?}"),
        // G10. The first one gives the alias.
        Version::V5 => assert!(sizes[1..].iter().all(|bytes| *bytes <= 14), "{sizes:?}"),
    }
}

async fn only_members_type_and_are_told(side: Side<'_>) {
    let cid = side.group(&["alice", "bob", "rita", "carol"]).await;
    let (rita_id, carol_id) = (side.id("rita"), side.id("carol"));
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut reader = side.chat("rita", "phone").await;
    let mut carol = side.chat("carol", "phone").await;
    let mut mallory = side.chat("mallory", "phone").await;
    alice.changed(&cid, roles(&[(&rita_id, Role::ReadOnly)])).await;
    alice.changed(&cid, remove(&[&carol_id])).await;
    carol.control().await;
    let alice_tag = tag(&mut bob, &cid, &side.id("alice")).await;
    // Whoever may not send does not type either; nor is it an error that ends the connection.
    for other in [&mut reader, &mut carol, &mut mallory] {
        other.types(&cid, State::Start).await;
        other.probe.fence().await;
    }
    alice.probe.publish_qos0(&format!("t/{cid}"), b"\xff\xff").await;
    alice.types(&cid, State::Start).await;
    told(&mut bob, &cid, State::Start, alice_tag).await;
    told(&mut reader, &cid, State::Start, alice_tag).await;
    for other in [&mut carol, &mut mallory] {
        other.probe.fence().await;
        assert_eq!(other.left("t/"), Vec::<String>::new());
    }
    assert_eq!(bob.left("t/"), Vec::<String>::new());
}
