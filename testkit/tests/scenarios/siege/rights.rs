//! F6: a device that has read what its token allowed, and goes on with one that allows less.

use std::time::{Duration, Instant};

use godwit_testkit::WAIT;
use godwit_testkit::wire::{self, Connect, Properties, Publish, Received, Value, Version};

use super::mint::Mint;
use super::raid::{Means, Raider};
use super::{Bounds, MIB, besiege};
use crate::scenarios::world::{BOTH, World};

on_both_stores!(rights_that_end);

const METHOD: u8 = 0x15;
const DATA: u8 = 0x16;

/// What was kept for two devices, and connections that come and go.
const BOUNDS: Bounds = Bounds { grows: 24 * MIB };

/// How long a device listens each time.
const LISTENS: Duration = Duration::from_millis(100);

/// A device's CONNECTs: kept, with a token that may read `secret/#`, and with one that may not.
struct Spy {
    strong: Connect,
    weak: Connect,
}

impl Spy {
    fn new(mint: &Mint, version: Version, device: &str) -> Self {
        let hello = |more: &str| {
            let hello = mint.hello_with(version, ("mallory", device), more).kept();
            match version {
                Version::V3 => hello,
                Version::V5 => hello.with(METHOD, Value::Text(b"token".to_vec())),
            }
        };
        Self { strong: hello(r#","acl":{"sub":["secret/#"],"pub":[]}"#), weak: hello("") }
    }
}

/// Somebody publishes secrets all the time. Spies read them, and go on with the lesser token: as the
/// kept session that they are, and on the same connection.
async fn rights_that_end(world: World) {
    let mint = Mint::of(&world);
    let [three, five] = BOTH.map(|version| Spy::new(&mint, version, &format!("{version:?}")));
    let in_place = Spy::new(&mint, Version::V5, "in-place");
    let publishes = r#","acl":{"pub":["secret/#"],"sub":[]}"#;
    let writer = mint.hello_with(Version::V5, ("mallory", "writer"), publishes);
    besiege(&world, BOUNDS, 0, async move |means| {
        tokio::join!(
            tell_secrets(means, &writer),
            resume(means, &three),
            resume(means, &five),
            renew(means, &in_place),
        );
    })
    .await;
}

async fn tell_secrets(means: &Means, hello: &Connect) {
    while means.goes_on() {
        let Some(mut writer) = means.enter_as(hello).await else { continue };
        let secret = Publish { topic: "secret/a".to_owned(), ..Publish::default() };
        let mut count = 0_u16;
        let mut stands = true;
        while stands && means.goes_on() {
            count = count % 60_000 + 1;
            let secret = Publish { qos: 1, packet_id: count, ..secret.clone() };
            stands = writer.write(&wire::publish(writer.version, &secret)).await && writer.skim();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Reads for a while, acknowledging nothing; how many secrets there were.
async fn read(raider: &mut Raider) -> usize {
    let mut secrets = 0;
    let until = tokio::time::Instant::now() + LISTENS;
    while let Some(packet) = raider.packet(until - tokio::time::Instant::now()).await {
        let secret =
            matches!(packet, Received::Publish(found) if found.topic.starts_with("secret/"));
        secrets += usize::from(secret);
    }
    secrets
}

/// Lets a device in with its rights, and has it read a secret.
async fn spy_out(means: &Means, hello: &Connect) -> Option<Raider> {
    let mut raider = means.enter_as(hello).await?;
    let filters = [("secret/#", 1), ("u/mallory/#", 1)];
    raider.write(&wire::subscribe(raider.version, 1, &filters)).await;
    let begun = Instant::now();
    while means.goes_on() {
        assert!(begun.elapsed() < WAIT, "{}: no secret while it is allowed", hello.client_id);
        if let Some(Received::Publish(found)) = raider.packet(LISTENS).await
            && found.topic.starts_with("secret/")
        {
            return Some(raider);
        }
    }
    None
}

async fn resume(means: &Means, spy: &Spy) {
    while means.goes_on() {
        // Taken over by itself: what is in flight, and what is kept meanwhile, is owed to nobody.
        let Some(before) = spy_out(means, &spy.strong).await else { continue };
        let Some(mut raider) = means.enter_as(&spy.weak).await else { continue };
        means.blow();
        assert_eq!(read(&mut raider).await, 0, "{} resumed", spy.weak.client_id);
        raider.write(&wire::subscribe(raider.version, 1, &[("secret/#", 1)])).await;
        assert_eq!(read(&mut raider).await, 0, "{} asked", spy.weak.client_id);
        drop(before);
    }
}

async fn renew(means: &Means, spy: &Spy) {
    let weak = spy.weak.password.clone().unwrap_or_default();
    let properties = Properties::none()
        .with(METHOD, Value::Text(b"token".to_vec()))
        .with(DATA, Value::Text(weak.into_bytes()));
    while means.goes_on() {
        let Some(mut raider) = spy_out(means, &spy.strong).await else { continue };
        raider.write(&wire::auth(0x19, &properties)).await;
        loop {
            match raider.packet(WAIT).await.expect("an answer to an AUTH") {
                Received::Auth { code: 0 } => break,
                // What was on its way while the token was still the old one.
                Received::Publish(_) | Received::SubAck { .. } => {}
                other => panic!("{other:?} instead of an AUTH"),
            }
        }
        means.blow();
        assert_eq!(read(&mut raider).await, 0, "{} renewed", spy.weak.client_id);
    }
}
