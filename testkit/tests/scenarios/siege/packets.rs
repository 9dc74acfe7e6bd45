//! F8: packets that cost nothing to send, from one client that sends nothing else.

use std::time::{Duration, Instant};

use godwit_testkit::wire::{self, Publish, Version};

use super::raid::Means;
use super::{Bounds, MIB, besiege};
use crate::scenarios::world::{BOTH, Backend, World};

/// What a client may have in buffers and windows, and what the allocator keeps of it.
const BOUNDS: Bounds = Bounds { grows: 24 * MIB };

/// Bytes written at once.
const BLOCK: usize = 32 * 1024;

/// How long one version has its turn: both are one client's.
const TURN: Duration = Duration::from_secs(1);

/// One version after the other, the same packet in each one's form.
async fn flood(means: &Means, packet: impl Fn(Version) -> Vec<u8>) {
    let blocks = BOTH.map(&packet).map(|packet| packet.repeat(BLOCK / packet.len()));
    while means.goes_on() {
        for (device, block) in blocks.iter().enumerate() {
            let Some(mut raider) = means.enter(device).await else { continue };
            let begun = Instant::now();
            // Nothing that the server answers is waited for.
            while begun.elapsed() < TURN && means.goes_on() {
                if !(raider.skim() && raider.write(block).await) {
                    break;
                }
                means.blow();
            }
        }
    }
}

#[tokio::test]
async fn pings_without_end() {
    let world = World::on(Backend::Sqlite).await;
    besiege(&world, BOUNDS, 2, async |means| flood(means, |_| wire::pingreq()).await).await;
}

#[tokio::test]
async fn typing_into_the_conversations_of_others() {
    let world = World::on(Backend::Sqlite).await;
    let topic = format!("t/{}", world.cid);
    let typing = Publish { topic, ..Publish::default() };
    besiege(&world, BOUNDS, 2, async move |means| {
        flood(means, |version| wire::publish(version, &typing)).await;
    })
    .await;
}
