//! F5: one user who fills what is there for all: queues of absent devices, retained messages, places of
//! devices, and the inboxes of people who have not asked.

use std::time::Duration;

use godwit_testkit::wire::{self, Publish};

use super::raid::{Means, Raider};
use super::{Bounds, MIB, besiege, elsewhere};
use crate::scenarios::world::{Backend, World};

on_both_stores!(groups_of_strangers);

/// Publishes as fast as it is taken, each message to a topic of its own; `like` says the rest.
async fn pour(means: &Means, device: usize, like: &Publish) {
    let mut count = 0_u64;
    while means.goes_on() {
        let Some(mut raider) = means.enter(device).await else { continue };
        let mut stands = true;
        while stands && means.goes_on() {
            count += 1;
            let topic = format!("u/mallory/{device}/{count}");
            let packet_id = u16::try_from(count % 60_000).expect("less") + 1;
            let publish = Publish { topic, qos: 1, packet_id, ..like.clone() };
            let packet = wire::publish(raider.version, &publish);
            stands = raider.write(&packet).await && raider.hears().await;
            means.blow();
            means.breathe().await;
        }
    }
}

fn of_size(bytes: usize) -> Publish {
    Publish { payload: vec![b'x'; bytes], ..Publish::default() }
}

#[tokio::test]
async fn an_absent_device_that_everything_is_kept_for() {
    let world = World::on(Backend::Sqlite).await;
    besiege(&world, Bounds { grows: 64 * MIB }, 3, async |means| {
        for device in [1, 2] {
            let Some(mut absent) = means.enter_kept(device).await else { continue };
            let filters = [("u/mallory/#", 1)];
            absent.write(&wire::subscribe(absent.version, 1, &filters)).await;
            absent.hears().await;
        }
        // Almost as large as a packet may be.
        pour(means, 0, &of_size(900_000)).await;
    })
    .await;
}

/// Many small ones, and large ones: 8 MiB are one user's, and two connections read a packet each.
#[tokio::test]
async fn retained_messages_without_end() {
    let world = World::on(Backend::Sqlite).await;
    besiege(&world, Bounds { grows: 32 * MIB }, 2, async |means| {
        let small = Publish { retain: true, ..of_size(2) };
        let large = Publish { retain: true, ..of_size(100_000) };
        tokio::join!(pour(means, 0, &small), pour(means, 1, &large));
    })
    .await;
}

/// More devices than a user may have at a time, which all want what each of them says.
#[tokio::test]
async fn more_devices_than_anybody_has() {
    const DEVICES: usize = 80;
    let world = World::with(elsewhere()).await;
    // 64 of them, with what may be queued for each while it does not read.
    besiege(&world, Bounds { grows: 96 * MIB }, DEVICES, async |means| {
        let mut all: Vec<Option<Raider>> = (0..DEVICES).map(|_| None).collect();
        while means.goes_on() {
            for (n, place) in all.iter_mut().enumerate() {
                if place.as_mut().is_some_and(Raider::skim) {
                    continue;
                }
                *place = means.enter(n).await;
                means.blow();
                means.breathe().await;
                if let Some(raider) = place {
                    let filters = [("m/#", 1), ("u/mallory/#", 1)];
                    raider.write(&wire::subscribe(raider.version, 1, &filters)).await;
                    let topic = "u/mallory/here".to_owned();
                    let word = Publish { topic, payload: vec![b'x'; 1000], ..Publish::default() };
                    raider.write(&wire::publish(raider.version, &word)).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// People whom nobody knows are taken into one group after the other: the same ones, and others.
async fn groups_of_strangers(world: World) {
    let group = |from: u64| {
        let members: Vec<String> = (from..from + 250).map(|n| format!("\"stranger{n}\"")).collect();
        format!(r#"{{"kind":"group","members":[{}]}}"#, members.join(","))
    };
    let round = std::cell::Cell::new(0);
    besiege(&world, Bounds { grows: 48 * MIB }, 1, async move |means| {
        while means.goes_on() {
            round.set(round.get() + 1);
            let round = round.get();
            let (same, others) = (group(0), group(round * 250));
            let made = means.ask("POST", "/v1/conversations", &same).await;
            assert!(made.is_none_or(|status| matches!(status, 201 | 403 | 429)), "{made:?}");
            let refused = means.ask("POST", "/v1/conversations", &others).await;
            assert!(refused.is_none_or(|status| matches!(status, 403 | 429)), "{refused:?}");
            means.blow();
        }
    })
    .await;
    // Those of the honest, and what the same strangers may be asked into.
    let groups = world.server.store().count("conversations");
    assert!(groups <= 21 + 101, "{groups} conversations");
}
