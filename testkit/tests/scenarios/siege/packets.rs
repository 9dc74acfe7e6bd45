//! F8: packets that cost nothing to send, from one client that sends nothing else.

use godwit_testkit::wire::{self, Publish, Version};

use super::raid::Means;
use super::{Bounds, MIB, besiege};
use crate::scenarios::world::{Backend, World};

/// What a client may have in buffers and windows, and what the allocator keeps of it.
const BOUNDS: Bounds = Bounds { grows: 24 * MIB };

/// Bytes written at once.
const BLOCK: usize = 32 * 1024;

async fn flood(means: &Means, packet: Vec<u8>) {
    let block = packet.repeat(BLOCK / packet.len());
    while means.goes_on() {
        let Some(mut raider) = means.enter(0).await else { continue };
        // Nothing that the server answers is waited for.
        while raider.skim() && raider.write(&block).await && means.goes_on() {
            means.blow();
        }
    }
}

#[tokio::test]
async fn pings_without_end() {
    let world = World::on(Backend::Sqlite).await;
    besiege(&world, BOUNDS, 1, async |means| flood(means, wire::pingreq()).await).await;
}

#[tokio::test]
async fn typing_into_the_conversations_of_others() {
    let world = World::on(Backend::Sqlite).await;
    let topic = format!("t/{}", world.cid);
    let packet = wire::publish(Version::V5, &Publish { topic, ..Publish::default() });
    besiege(&world, BOUNDS, 1, async move |means| flood(means, packet.clone()).await).await;
}
