//! F9: connections before their CONNECT, and large CONNECTs of nobody.

use std::time::Duration;

use godwit_testkit::probe;
use godwit_testkit::wire;

use super::crowd::Crowd;
use super::mint;
use super::raid::{Means, Raider};
use super::{Bounds, MIB, besiege, elsewhere};
use crate::scenarios::world::{BOTH, Backend, World};

/// Sockets that say nothing, and as many that say almost all of a CONNECT with a long token.
const SOCKETS: usize = 1_000;

/// 40 MiB are promised for 10,000, and 12 MiB for the large ones under way.
const BOUNDS: Bounds = Bounds { grows: (SOCKETS as u64 * 2 * 40 / 10_000 + 12) * MIB };

#[tokio::test]
async fn sockets_that_do_not_say_who_they_are() {
    let world = World::on(Backend::Sqlite).await;
    let hello = probe::connect(BOTH[0], "mallory", "device0", &mint::forged(8_000));
    let begun = wire::connect(&hello);
    besiege(&world, BOUNDS, 0, async move |means| {
        tokio::join!(wait(means, b""), wait(means, &begun[..begun.len() - 1]));
    })
    .await;
}

async fn wait(means: &Means, first: &[u8]) {
    let mut crowd = Crowd::at(&means.mqtt, SOCKETS);
    while means.goes_on() {
        crowd.fill(means, first).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        crowd.keep(Raider::skim);
    }
}

/// Each is read and its signature computed, and none is let in.
#[tokio::test]
async fn large_tokens_of_nobody() {
    let world = World::with(elsewhere()).await;
    let token = mint::forged(8_000);
    let hellos = BOTH.map(|version| probe::connect(version, "mallory", "device0", &token));
    besiege(&world, BOUNDS, 0, async move |means| {
        while means.goes_on() {
            for hello in &hellos {
                let code = means.knock(hello).await;
                assert_ne!(code, Some(0), "let in with a forged token");
                means.blow();
                means.breathe().await;
            }
        }
    })
    .await;
}
