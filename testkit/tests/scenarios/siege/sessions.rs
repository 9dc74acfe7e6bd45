//! F1: a device that subscribes and is taken over by itself at once, again and again.

use godwit_testkit::wire;

use super::raid::Means;
use super::{Bounds, MIB, besiege};
use crate::scenarios::world::World;

on_both_stores!(taken_over_while_subscribing);

async fn taken_over_while_subscribing(world: World) {
    besiege(&world, Bounds { grows: 32 * MIB }, 4, async |means| {
        tokio::join!(again(means, 0), again(means, 1), again(means, 2), again(means, 3));
    })
    .await;
}

async fn again(means: &Means, device: usize) {
    let mut count = 0_u32;
    let mut before = None;
    while means.goes_on() {
        let Some(mut raider) = means.enter_kept(device).await else {
            tokio::task::yield_now().await;
            continue;
        };
        count += 1;
        let filter = format!("u/mallory/{}", count % 50);
        let packet = wire::subscribe(raider.version, 1, &[("m/#", 1), (&filter, 1)]);
        raider.write(&packet).await;
        means.blow();
        // The one before is let go only now: it was taken over while its SUBSCRIBE was stored.
        before = Some(raider);
    }
    drop(before);
}
