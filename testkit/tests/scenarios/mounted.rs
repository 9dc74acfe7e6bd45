//! Subscriptions to device topics: bounded, for whom they concern, and kept only when they are in force.

use godwit_proto::presence::v1::{presence, user_presence};
use godwit_testkit::probe::Probe;
use godwit_testkit::until;
use godwit_testkit::wire::Version;

use super::side::Side;
use super::world::{BOTH, World};

on_both_stores!(refused_ones_are_not_kept, presence_is_for_the_acquainted);
in_both_versions!(sqlite: a_full_device_goes_on);

/// `limits.subscriptions_max`.
const MAX: usize = 256;

/// Subscribes to many in packets of 64.
async fn subscribe_all(probe: &mut Probe, filters: &[String]) -> Vec<u8> {
    let mut codes = Vec::new();
    for some in filters.chunks(64) {
        let asked: Vec<_> = some.iter().map(|filter| (filter.as_str(), 1)).collect();
        codes.extend(probe.subscribe_with(&asked).await);
    }
    codes
}

/// How a subscription beyond a bound, and one that is not allowed, is refused.
fn refusals(version: Version) -> (u8, u8) {
    match version {
        Version::V3 => (0x80, 0x80),
        Version::V5 => (0x97, 0x87),
    }
}

fn kept_rows(world: &World, device: &str) -> usize {
    let rows = format!("subscriptions where device_id = '{device}'");
    usize::try_from(world.server.store().count(&rows)).expect("a few")
}

/// 9,984 plain filters were once answered 0x97 and stored all the same.
async fn refused_ones_are_not_kept(world: World) {
    let names: Vec<String> = (0..MAX + 64).map(|n| format!("m{n}")).collect();
    let mut members = vec!["alice"];
    members.extend(names.iter().map(String::as_str));
    world.server.create("group", &members).await;
    for version in BOTH {
        let (full, _) = refusals(version);
        let plain: Vec<String> = (0..MAX + 64).map(|n| format!("u/alice/t{n}")).collect();
        let mounted: Vec<String> = names.iter().map(|name| format!("p/{name}")).collect();
        for (kind, filters) in [("plain", plain), ("mounted", mounted)] {
            let device = format!("{kind}-{version:?}").to_lowercase();
            let (mut probe, _) = world.kept(version, "alice", &device).await;
            let codes = subscribe_all(&mut probe, &filters).await;
            assert!(codes[..MAX].iter().all(|code| *code == 1), "{device}: {codes:02x?}");
            assert!(codes[MAX..].iter().all(|code| *code == full), "{device}: {codes:02x?}");
            assert_eq!(kept_rows(&world, &device), MAX, "{device}");
            // Ended, it makes room for another; what stands may be asked for again.
            probe.unsubscribe(&filters[3]).await;
            let again = [filters[4].clone(), filters[MAX].clone(), filters[MAX + 1].clone()];
            assert_eq!(subscribe_all(&mut probe, &again).await, [1, 1, full], "{device}");
            assert_eq!(kept_rows(&world, &device), MAX, "{device}");
            // The other kind has room of its own.
            probe.subscribe(if kind == "plain" { "m/#" } else { "u/alice/x" }).await;
            probe.disconnect(0).await;
            // As many are in force when it comes back.
            let (mut probe, present) = world.kept(version, "alice", &device).await;
            assert!(present);
            let again = [filters[4].clone(), filters[MAX + 1].clone()];
            assert_eq!(subscribe_all(&mut probe, &again).await, [1, full], "{device}");
        }
    }
}

async fn presence_is_for_the_acquainted(world: World) {
    let admin = world.server.admin().to_owned();
    let cid = world.server.create("group", &["alice", "carol", "dan"]).await;
    let mut live = Vec::new();
    for version in BOTH {
        let (_, denied) = refusals(version);
        let device = format!("phone-{version:?}").to_lowercase();
        let (mut alice, _) = world.kept(version, "alice", &device).await;
        let filters = ["p/bob", "p/mallory", "p/carol", "p/alice", "p/nobody", "p/dan/#", "p/#"];
        let filters = filters.map(str::to_owned);
        let codes = subscribe_all(&mut alice, &filters).await;
        assert_eq!(codes, [1, denied, 1, 1, denied, 1, 1]);
        assert_eq!(kept_rows(&world, &device), 5);
        live.push(alice);
    }
    // carol goes: nothing is shared with her any more, and what was asked for ends.
    let path = format!("/v1/conversations/{cid}/members/carol");
    let reply = world.server.ask("DELETE", &path, &admin, None).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    for version in BOTH {
        let device = format!("phone-{version:?}").to_lowercase();
        until("p/carol is forgotten", async || (kept_rows(&world, &device) == 4).then_some(()))
            .await;
    }
    for mut alice in live {
        let (_, denied) = refusals(alice.version());
        assert_eq!(subscribe_all(&mut alice, &["p/carol".to_owned()]).await, [denied]);
        // Away: who goes meanwhile is found out when the device comes back.
        alice.disconnect(0).await;
    }
    let path = format!("/v1/conversations/{cid}/members/dan");
    let reply = world.server.ask("DELETE", &path, &admin, None).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    for version in BOTH {
        let device = format!("phone-{version:?}").to_lowercase();
        let (_alice, present) = world.kept(version, "alice", &device).await;
        assert!(present);
        until("p/dan is forgotten", async || (kept_rows(&world, &device) == 3).then_some(())).await;
    }
}

/// A device that has all it may have is served as any.
async fn a_full_device_goes_on(side: Side<'_>) {
    let names: Vec<String> = (0..MAX).map(|n| format!("n{n}-")).collect();
    let mut members = vec!["alice", "bob"];
    members.extend(names.iter().map(String::as_str));
    side.group(&members).await;
    let pair = side.direct("alice", "bob").await;
    let bob_id = side.id("bob");
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let filters: Vec<String> = names.iter().map(|name| format!("p/{}", side.id(name))).collect();
    let codes = subscribe_all(&mut alice.probe, &filters).await;
    let granted = codes.iter().filter(|code| **code == 1).count();
    assert_eq!(granted, MAX - godwit_testkit::chat::ALL.len());
    bob.say(&pair, "hello").await;
    alice.hears(&pair, "hello").await;
    alice.is(presence::State::Foreground, &[&pair]).await;
    assert_eq!(alice.presence(&bob_id).await.state(), user_presence::State::Online);
}
