//! F4: subscriptions to device topics without end, each of which was looked at for every delivery.

use std::time::Duration;

use godwit_testkit::wire::{self, Publish};

use super::raid::Means;
use super::{Bounds, MIB, besiege};
use crate::scenarios::world::World;

on_both_stores!(a_hundred_thousand_subscriptions);

/// SUBSCRIBE packets of this many filters.
const FILTERS: usize = 64;

/// Two devices name people without end, and a third one speaks in a group that all three read: each of
/// its entries asks each device what it wants.
async fn a_hundred_thousand_subscriptions(world: World) {
    let known: Vec<String> = (0..40).map(|n| format!("known{n}")).collect();
    let mut members = vec!["mallory"];
    members.extend(known.iter().map(String::as_str));
    let group = world.server.create("group", &members).await;
    // 256 filters of at most 70 bytes for a device, twice, in the bridge and in the store; the rest is
    // what 1,000 messages leave in caches.
    let bounds = Bounds { grows: 32 * MIB };
    besiege(&world, bounds, 3, async move |means| {
        tokio::join!(
            subscribe_without_end(means, 0),
            subscribe_without_end(means, 1),
            speak(means, 2, &group),
        );
    })
    .await;
}

async fn subscribe_without_end(means: &Means, device: usize) {
    let mut count = 0_u64;
    while means.goes_on() {
        let Some(mut raider) = means.enter(device).await else { continue };
        let all = wire::subscribe(raider.version, 1, &[("m/#", 1), ("c/#", 0)]);
        let mut stands = raider.write(&all).await && raider.hears().await;
        while stands && means.goes_on() {
            // Those whom it knows and strangers in turn.
            let name = |n| match count.is_multiple_of(2) {
                true => format!("p/known{}", n % 40),
                false => format!("p/anyone{n}"),
            };
            let filters: Vec<String> = (count..).take(FILTERS).map(name).collect();
            let filters: Vec<(&str, u8)> = filters.iter().map(|f| (f.as_str(), 1)).collect();
            let packet = wire::subscribe(raider.version, 1, &filters);
            stands = raider.write(&packet).await && raider.hears().await;
            count += FILTERS as u64 + 1;
            means.blow();
        }
    }
}

/// A hundred words a second, far below any rate.
async fn speak(means: &Means, device: usize, cid: &str) {
    let mut count = 0_u64;
    while means.goes_on() {
        let Some(mut raider) = means.enter(device).await else { continue };
        let mut stands = true;
        while stands && means.goes_on() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            count += 1;
            let topic = format!("c/{cid}/m{count}");
            let packet_id = u16::try_from(count % 60_000).expect("less") + 1;
            let word = Publish { qos: 1, topic, packet_id, ..Publish::default() };
            let packet = wire::publish(raider.version, &word);
            stands = raider.write(&packet).await && raider.skim();
        }
    }
}
