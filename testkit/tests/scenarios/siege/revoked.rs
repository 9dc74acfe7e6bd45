//! F7: devices that were revoked, with the tokens that they had and with some from the future.

use godwit_testkit::probe::{self, Probe};
use godwit_testkit::wire::Connect;

use super::mint::Mint;
use super::raid::Means;
use super::{Bounds, MIB, besiege, elsewhere};
use crate::scenarios::world::{BOTH, World};

on_both_stores!(with elsewhere: revoked_devices_that_come_again);

const BOUNDS: Bounds = Bounds { grows: 16 * MIB };

/// Comes with each of these as fast as it is refused.
async fn come_again(means: &Means, hellos: &[Connect]) {
    while means.goes_on() {
        for hello in hellos {
            let code = means.knock(hello).await;
            assert_ne!(code, Some(0), "{} was let in", hello.client_id);
            means.blow();
            means.breathe().await;
        }
    }
}

/// With what each device had before (a session that was kept, a token that is good for an hour), and with
/// what an issuer has dated after the revocation, by a minute and by sixty years.
async fn revoked_devices_that_come_again(world: World) {
    let mint = Mint::of(&world);
    let (mut had, mut dated) = (Vec::new(), Vec::new());
    for (n, ahead_s) in [60, 3600, 365 * 24 * 3600, 60 * 365 * 24 * 3600].into_iter().enumerate() {
        let (version, device) = (BOTH[n % 2], format!("device{n}"));
        let hello = mint.hello(version, "mallory", &device).kept();
        let (mut probe, _) = Probe::connect(&world.mqtt(), &hello).await;
        probe.subscribe("m/#").await;
        probe.disconnect(0).await;
        had.push(hello);
        let token = mint.issued_ahead(&device, ahead_s);
        dated.push(probe::connect(version, "mallory", &device, &token));
    }
    let operator = world.server.caller(world.server.admin());
    for n in 0..had.len() {
        operator.delete(&format!("/v1/devices/device{n}?user=mallory")).await.expect(200);
    }
    besiege(&world, BOUNDS, 0, async move |means| {
        tokio::join!(come_again(means, &had), come_again(means, &dated));
    })
    .await;
}
