//! F3: silent and half handshakes of TLS and WSS, renewed, while honest clients come by both.

use std::time::Duration;

use super::crowd::Crowd;
use super::raid::{Means, Raider};
use super::witness::Witness;
use super::{Bounds, MIB, besiege_before};
use crate::scenarios::world::{Backend, World};

/// On each of both listeners, silent ones and half ones each: more together than handshakes are allowed at
/// once.
const SOCKETS: usize = 550;

/// So many of each leave and come again in each round, beside those that the server has closed.
const RENEWED: usize = 10;

/// The beginning of a ClientHello's record, and no more.
const HALF: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00];

/// 2,200 sockets, a quarter of 1,024 handshakes of each listener begun, at 20 KiB each.
const BOUNDS: Bounds = Bounds { grows: 32 * MIB };

#[tokio::test]
async fn silent_and_half_handshakes_renewed() {
    let world = World::on(Backend::Sqlite).await;
    let comers = Witness::comers(&world);
    let addresses = ["mqtts", "wss"].map(|name| world.server.address(name));
    besiege_before(&world, BOUNDS, 0, comers, async move |means| {
        let [mqtts, wss] = &addresses;
        tokio::join!(
            wait(means, mqtts, b""),
            wait(means, mqtts, HALF),
            wait(means, wss, b""),
            wait(means, wss, HALF),
        );
    })
    .await;
}

/// `first` is what each socket says.
async fn wait(means: &Means, address: &str, first: &[u8]) {
    let mut crowd = Crowd::at(address, SOCKETS);
    while means.goes_on() {
        crowd.fill(means, first).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        crowd.leave(RENEWED);
        crowd.keep(Raider::skim);
    }
}
