//! F5: one user who fills what is there for all: queues of absent devices.

use godwit_testkit::wire::{self, Publish, Version};

use super::raid::Means;
use super::{Bounds, MIB, besiege};
use crate::scenarios::world::{Backend, World};

/// Publishes large messages as fast as they are taken.
async fn pour(means: &Means, device: usize) {
    let payload = vec![b'x'; 900_000];
    let mut count = 0_u64;
    while means.goes_on() {
        let Some(mut raider) = means.enter(device).await else { continue };
        let mut stands = true;
        while stands && means.goes_on() {
            count += 1;
            let topic = format!("u/mallory/{count}");
            let packet_id = u16::try_from(count % 60_000).expect("less") + 1;
            let payload = payload.clone();
            let publish = Publish { topic, qos: 1, packet_id, payload, ..Publish::default() };
            let packet = wire::publish(Version::V5, &publish);
            stands = raider.write(&packet).await && raider.hears().await;
            means.blow();
        }
    }
}

#[tokio::test]
async fn an_absent_device_that_everything_is_kept_for() {
    let world = World::on(Backend::Sqlite).await;
    besiege(&world, Bounds { grows: 64 * MIB }, 3, async |means| {
        for device in [1, 2] {
            let Some(mut absent) = means.enter_kept(device).await else { continue };
            absent.write(&wire::subscribe(Version::V5, 1, &[("u/mallory/#", 1)])).await;
            absent.hears().await;
        }
        pour(means, 0).await;
    })
    .await;
}
