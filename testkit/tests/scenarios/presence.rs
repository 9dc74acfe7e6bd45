//! Who is there: told to those who look, a little late on purpose, and to nobody else.

use std::time::{Duration, Instant};

use godwit_proto::presence::v1::presence::State::{Away, Background, Foreground};
use godwit_proto::presence::v1::user_presence::State as Seen;
use godwit_proto::presence::v1::{Presence, UserPresence};
use godwit_testkit::chat::{Chat, remove};
use godwit_testkit::server::Options;
use godwit_testkit::wire::Properties;
use prost::Message as _;

use super::inbox::now_ms;
use super::side::Side;

in_both_versions!(sqlite with soon:
    online_away_and_offline_with_a_time,
    a_short_break_is_not_seen,
    the_will_of_an_old_connection_says_nothing,
    the_best_device_counts,
    only_those_who_look_are_told,
);

in_both_versions!(with soon: who_hides_is_not_seen, last_seen_outlives_the_server);

/// The least and the most of the delay with which these servers tell that someone is offline.
const DELAY_MS: (u64, u64) = (700, 900);

fn soon() -> Options {
    Options::default()
        .with("GODWIT__PRESENCE__OFFLINE_DELAY_MIN", &format!("{}ms", DELAY_MS.0))
        .with("GODWIT__PRESENCE__OFFLINE_DELAY_MAX", &format!("{}ms", DELAY_MS.1))
}

async fn told(chat: &mut Chat, user: &str, state: Seen) -> UserPresence {
    let got = chat.presence(user).await;
    assert_eq!(got.state(), state, "{user}: {got:?}");
    got
}

/// Beyond the longest delay: the time itself is what is tested.
async fn after_the_delay() {
    tokio::time::sleep(Duration::from_millis(DELAY_MS.1 + 400)).await;
}

async fn online_away_and_offline_with_a_time(side: Side<'_>) {
    let cid = side.direct("alice", "bob").await;
    let alice_id = side.id("alice");
    let mut bob = side.chat("bob", "phone").await;
    bob.is(Foreground, &[&cid]).await;
    assert_eq!(told(&mut bob, &alice_id, Seen::Offline).await.last_seen_ms, 0, "never seen");
    let mut alice = side.chat("alice", "phone").await;
    assert_eq!(told(&mut bob, &alice_id, Seen::Online).await.last_seen_ms, 0);
    alice.is(Away, &[]).await;
    told(&mut bob, &alice_id, Seen::Away).await;
    alice.is(Foreground, &[]).await;
    told(&mut bob, &alice_id, Seen::Online).await;
    alice.is(Background, &[]).await;
    told(&mut bob, &alice_id, Seen::Away).await;
    let (before, begin) = (now_ms(), Instant::now());
    alice.disconnect().await;
    let after = now_ms();
    let offline = told(&mut bob, &alice_id, Seen::Offline).await;
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(DELAY_MS.0 - 50), "told after {took:?}");
    assert!(took < Duration::from_millis(DELAY_MS.1 + 1500), "told after {took:?}");
    // The time is that of the end, not that of being told.
    assert!((before..=after).contains(&offline.last_seen_ms), "{offline:?} in {before}..={after}");
    // Whoever looks later is told the same.
    let mut laptop = side.chat("bob", "laptop").await;
    laptop.is(Foreground, &[&cid]).await;
    assert_eq!(told(&mut laptop, &alice_id, Seen::Offline).await, offline);
}

async fn a_short_break_is_not_seen(side: Side<'_>) {
    let cid = side.direct("alice", "bob").await;
    let alice_id = side.id("alice");
    let alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    bob.is(Foreground, &[&cid]).await;
    told(&mut bob, &alice_id, Seen::Online).await;
    // A tunnel: the connection breaks, and another comes a moment later.
    let hello = side.hello("alice", "phone").await;
    alice.probe.cut();
    let (mut alice, _) = Chat::connect(&side.world.mqtt(), &hello).await;
    after_the_delay().await;
    alice.is(Away, &[]).await;
    told(&mut bob, &alice_id, Seen::Away).await;
    assert_eq!(bob.left("p/"), Vec::<String>::new());
}

async fn the_will_of_an_old_connection_says_nothing(side: Side<'_>) {
    let cid = side.direct("alice", "bob").await;
    let alice_id = side.id("alice");
    let will = Presence { state: Background as i32, open: Vec::new() }.encode_to_vec();
    let hello = side.hello("alice", "phone").await.with_will("p", &will, Properties::none());
    let (old, _) = Chat::connect(&side.world.mqtt(), &hello).await;
    let mut bob = side.chat("bob", "phone").await;
    bob.is(Foreground, &[&cid]).await;
    told(&mut bob, &alice_id, Seen::Online).await;
    // The new connection takes over: the old one ends, and its will fires.
    let mut alice = side.chat("alice", "phone").await;
    let mut old = old;
    old.probe.ended().await;
    after_the_delay().await;
    alice.is(Away, &[]).await;
    told(&mut bob, &alice_id, Seen::Away).await;
    assert_eq!(bob.left("p/"), Vec::<String>::new(), "no word of the old one in between");
    // A will of the last connection is its end and no more.
    alice.disconnect().await;
    let (last, _) = Chat::connect(&side.world.mqtt(), &hello).await;
    told(&mut bob, &alice_id, Seen::Online).await;
    last.probe.cut();
    told(&mut bob, &alice_id, Seen::Offline).await;
}

async fn the_best_device_counts(side: Side<'_>) {
    let cid = side.direct("alice", "bob").await;
    let alice_id = side.id("alice");
    let mut bob = side.chat("bob", "phone").await;
    bob.is(Foreground, &[&cid]).await;
    told(&mut bob, &alice_id, Seen::Offline).await;
    let mut phone = side.chat("alice", "phone").await;
    told(&mut bob, &alice_id, Seen::Online).await;
    let mut laptop = side.chat("alice", "laptop").await;
    phone.is(Background, &[]).await;
    // The laptop is still there: not a word. Then it is away, too.
    laptop.is(Away, &[]).await;
    told(&mut bob, &alice_id, Seen::Away).await;
    phone.is(Foreground, &[]).await;
    told(&mut bob, &alice_id, Seen::Online).await;
    laptop.disconnect().await;
    after_the_delay().await;
    phone.is(Away, &[]).await;
    told(&mut bob, &alice_id, Seen::Away).await;
    assert_eq!(bob.left("p/"), Vec::<String>::new());
}

async fn only_those_who_look_are_told(side: Side<'_>) {
    let cid = side.group(&["alice", "bob", "carol", "dave"]).await;
    let other = side.group(&["carol", "dave"]).await;
    let (alice_id, dave_id) = (side.id("alice"), side.id("dave"));
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut carol = side.chat("carol", "phone").await;
    let mut dave = side.chat("dave", "phone").await;
    let mut mallory = side.chat("mallory", "phone").await;
    bob.is(Foreground, &[&cid]).await;
    told(&mut bob, &alice_id, Seen::Online).await;
    told(&mut bob, &dave_id, Seen::Online).await;
    // carol looks elsewhere, dave nowhere, and mallory where she has no business.
    carol.is(Foreground, &[&other]).await;
    let bad =
        Presence { state: Foreground as i32, open: vec![super::payload::cid_bytes(&cid).into()] };
    mallory.probe.publish("p", &bad.encode_to_vec()).await;
    alice.is(Away, &[]).await;
    told(&mut bob, &alice_id, Seen::Away).await;
    // A message after it has come everywhere, and no word of alice's presence before it.
    alice.say(&cid, "marker").await;
    for chat in [&mut carol, &mut dave] {
        chat.hears(&cid, "marker").await;
        let heard = chat.left(&format!("p/{alice_id}"));
        assert_eq!(heard, Vec::<String>::new(), "{}", chat.user);
    }
    mallory.probe.fence().await;
    assert_eq!(mallory.left("p/"), Vec::<String>::new());
    // Closed again, nothing more; in the background, nothing either.
    bob.is(Foreground, &[]).await;
    carol.is(Background, &[&cid]).await;
    alice.is(Foreground, &[]).await;
    alice.say(&cid, "marker").await;
    for chat in [&mut bob, &mut carol] {
        chat.hears(&cid, "marker").await;
        let heard = chat.left(&format!("p/{alice_id}"));
        assert_eq!(heard, Vec::<String>::new(), "{}", chat.user);
    }
    // Who is removed looks no more.
    dave.is(Foreground, &[&cid]).await;
    told(&mut dave, &alice_id, Seen::Online).await;
    alice.changed(&cid, remove(&[&dave_id])).await;
    dave.control().await;
    alice.is(Away, &[]).await;
    bob.is(Foreground, &[&cid]).await;
    told(&mut bob, &alice_id, Seen::Away).await;
    dave.probe.fence().await;
    assert_eq!(dave.left(&format!("p/{alice_id}")), Vec::<String>::new());
}

async fn who_hides_is_not_seen(side: Side<'_>) {
    let cid = side.direct("alice", "bob").await;
    let alice_id = side.id("alice");
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    bob.is(Foreground, &[&cid]).await;
    told(&mut bob, &alice_id, Seen::Online).await;
    super::rest::share(&side, "alice", "share_presence", false).await;
    assert_eq!(told(&mut bob, &alice_id, Seen::Hidden).await.last_seen_ms, 0);
    alice.is(Away, &[]).await;
    alice.say(&cid, "marker").await;
    bob.hears(&cid, "marker").await;
    assert_eq!(bob.left("p/"), Vec::<String>::new());
    // Asking anew does not tell either.
    let mut laptop = side.chat("bob", "laptop").await;
    laptop.is(Foreground, &[&cid]).await;
    told(&mut laptop, &alice_id, Seen::Hidden).await;
    super::rest::share(&side, "alice", "share_presence", true).await;
    told(&mut bob, &alice_id, Seen::Away).await;
    told(&mut laptop, &alice_id, Seen::Away).await;
}

async fn last_seen_outlives_the_server(side: Side<'_>) {
    let cid = side.direct("alice", "bob").await;
    let alice_id = side.id("alice");
    let mut bob = side.chat("bob", "phone").await;
    bob.is(Foreground, &[&cid]).await;
    told(&mut bob, &alice_id, Seen::Offline).await;
    side.chat("alice", "phone").await.disconnect().await;
    told(&mut bob, &alice_id, Seen::Online).await;
    let offline = told(&mut bob, &alice_id, Seen::Offline).await;
    assert!(offline.last_seen_ms > 0);
    // In the store, not only in memory: noted a moment later.
    let rows = format!("select count(*) from users where id = '{alice_id}' and last_seen_ms > 0");
    godwit_testkit::until("last seen in the store", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        (side.world.server.store().ask(&rows) == ["1"]).then_some(())
    })
    .await;
}
