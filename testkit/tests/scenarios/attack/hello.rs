//! What a peer costs, and what it is told, before its CONNECT is there.

use godwit_testkit::probe::Probe;
use godwit_testkit::wire::{self, Version};

use super::sockets;
use crate::scenarios::world::{BOTH, World};

/// Sockets that have not said who they are.
const STRANGERS: usize = 10_000;
/// What they may cost, with room for what an allocator holds back.
const COST_MAX: u64 = 48 << 20;

/// A token of almost 8 KiB opens a connection; a CONNECT beyond what a token needs is refused by a code.
#[tokio::test]
async fn long_tokens_are_let_in_and_longer_ones_are_told() {
    let world = World::new().await;
    let filters: Vec<_> = (0..6).map(|n| format!("t{n}/{}", "x".repeat(950))).collect();
    let mut words = vec!["token", "--user", "alice", "--device", "watch"];
    for filter in &filters {
        words.extend(["--acl-pub", filter]);
    }
    let (done, token) = world.server.command(&words).await;
    assert!(done, "{token}");
    let token = token.trim();
    assert!((7000..8192).contains(&token.len()), "{} bytes", token.len());
    for version in BOTH {
        let mut hello = world.hello(version, "alice", "phone").await;
        hello.client_id = "alice:watch".to_owned();
        hello.password = Some(token.to_owned());
        let (mut alice, _) = Probe::connect(&world.mqtt(), &hello).await;
        assert_eq!(alice.publish(&world.c(), b"let in").await.code, 0);
        for bytes in [9_000, 13_000, 60_000] {
            hello.password = Some("x".repeat(bytes));
            let (_, welcome) = Probe::try_connect(&world.mqtt(), &hello).await;
            let expected = match (version, bytes) {
                (Version::V5, 9_000) => 0x86,
                (Version::V5, _) => 0x95,
                (Version::V3, 9_000) => 4,
                (Version::V3, _) => 5,
            };
            assert_eq!(welcome.code, expected, "{version:?} {bytes}");
        }
    }
}

/// Silent or in the middle of a large CONNECT: ten thousand strangers cost little, and whoever has a
/// long token is let in beside them.
#[tokio::test]
async fn strangers_cost_little() {
    let world = World::new().await;
    let mqtt = world.mqtt();
    let mut hello = world.hello(Version::V5, "alice", "phone").await;
    hello.password = Some("x".repeat(3_900));
    let begun = wire::connect(&hello);
    let before = world.server.resident();
    let silent = sockets(&mqtt, STRANGERS / 10, b"").await;
    let speaking = sockets(&mqtt, STRANGERS - silent.len(), &begun[..begun.len() - 1]).await;
    // What came before it was accepted and read, more or less.
    hello.password = Some(world.token("alice", "phone").await);
    let (mut alice, _) = Probe::connect(&mqtt, &hello).await;
    assert_eq!(alice.publish(&world.c(), b"let in").await.code, 0);
    let growth = world.server.resident().saturating_sub(before);
    drop((silent, speaking));
    assert!(growth < COST_MAX, "{} KiB for {STRANGERS} strangers", growth >> 10);
    println!("{} bytes a stranger", growth / STRANGERS as u64);
}
