//! F2: REST and the probes, by sockets that keep the server waiting. No token is shown.

use std::time::Duration;

use super::crowd::Crowd;
use super::raid::Means;
use super::witness::Witness;
use super::{Bounds, MIB, besiege_before};
use crate::scenarios::world::{Backend, World};

/// What the address may have: half of 512 places, each with a buffer of 32 KiB and an answer of 200 KiB.
const BOUNDS: Bounds = Bounds { grows: 64 * MIB };

async fn besiege<F>(attack: F)
where
    F: AsyncFn(&Means) + Send + 'static,
{
    let world = World::on(Backend::Sqlite).await;
    let probes = Witness::probes(&world);
    besiege_before(&world, BOUNDS, 0, probes, attack).await;
}

#[tokio::test]
async fn requests_whose_answers_nobody_reads() {
    besiege(async |means| {
        let requests = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(30);
        let mut crowd = Crowd::at(&means.http, 520);
        while means.goes_on() {
            crowd.fill(means, b"").await;
            crowd.keep(|raider| raider.push(&requests));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn headers_that_drip() {
    besiege(async |means| {
        let mut crowd = Crowd::at(&means.http, 600);
        while means.goes_on() {
            crowd.fill(means, b"GET /livez HTTP/1.1\r\nHost: x\r\n").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            crowd.keep(|raider| raider.skim() && raider.push(b"X-Drip: drip\r\n"));
        }
    })
    .await;
}
