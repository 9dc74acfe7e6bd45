//! Who is let in, and for how long.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use godwit_testkit::probe::Probe;
use godwit_testkit::wire::{Connect, Version, id};

use super::world::{BOTH, World};

/// CONTRACT.md: 0x87 or 0x86 with MQTT 5, 5 or 4 with 3.1.1.
fn is_refusal(version: Version, code: u8) -> bool {
    match version {
        Version::V3 => matches!(code, 4 | 5),
        Version::V5 => matches!(code, 0x86 | 0x87),
    }
}

/// The token's parts, decoded.
fn parts(token: &str) -> (String, String, String) {
    let mut parts = token.split('.');
    let mut text = || {
        let part = parts.next().expect("three parts");
        String::from_utf8_lossy(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).into_owned()
    };
    let (head, claims) = (text(), text());
    (head, claims, token.rsplit('.').next().expect("a signature").to_owned())
}

/// The token's `exp`.
fn expiry(token: &str) -> u64 {
    let claims: serde_json::Value = serde_json::from_str(&parts(token).1).expect("JSON");
    claims["exp"].as_u64().expect("whole seconds")
}

fn joined(head: &str, claims: &str, signature: &str) -> String {
    format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims))
}

#[tokio::test]
async fn wrong_tokens_and_client_ids_are_refused() {
    let world = World::new().await;
    for version in BOTH {
        let good = world.hello(version, "alice", "phone").await;
        let token = good.password.clone().expect("a token");
        let (head, claims, signature) = parts(&token);
        let none = head.replace("HS256", "none");
        let bobs = claims.replace("alice", "bob");
        let with = |password: &str| Connect { password: Some(password.to_owned()), ..good.clone() };
        let named = |name: &str| Connect { client_id: name.to_owned(), ..good.clone() };
        let table = [
            ("no token", Connect { password: None, ..good.clone() }),
            ("no name either", Connect { password: None, user_name: None, ..good.clone() }),
            ("an empty token", with("")),
            ("no token at all", with("open sesame")),
            ("a cut token", with(&token[..token.len() - 3])),
            ("algorithm none", with(&joined(&none, &claims, ""))),
            ("algorithm none, signed", with(&joined(&none, &claims, &signature))),
            ("another's claims", with(&joined(&head, &bobs, &signature))),
            ("another user's token", with(&world.token("bob", "phone").await)),
            ("another device's token", with(&world.token("alice", "laptop").await)),
            ("another client id", named("bob:phone")),
            ("a client id of no device", named("alice")),
            ("a client id that is a filter", named("alice/#:phone")),
            ("another user name", Connect { user_name: Some("bob".to_owned()), ..good.clone() }),
        ];
        for (what, hello) in table {
            let (mut probe, welcome) = Probe::try_connect(&world.mqtt(), &hello).await;
            let code = welcome.code;
            let invalid_id = what.starts_with("a client id") && matches!(code, 2 | 0x85);
            assert!(is_refusal(version, code) || invalid_id, "{version:?} {what}: {code:#04x}");
            assert!(!welcome.present);
            // [MQTT-3.2.2-7]: the server then closes.
            probe.ended().await;
        }
        Probe::connect(&world.mqtt(), &good).await.0.disconnect(0).await;
        let unnamed = Connect { user_name: Some(String::new()), ..good.clone() };
        Probe::connect(&world.mqtt(), &unnamed).await.0.disconnect(0).await;
    }
}

#[tokio::test]
async fn mqtt_5_is_told_the_client_id_that_its_token_means() {
    let world = World::new().await;
    let mut hello = world.hello(Version::V5, "alice", "phone").await;
    hello.client_id.clear();
    let (_probe, welcome) = Probe::connect(&world.mqtt(), &hello).await;
    assert_eq!(welcome.properties.text(id::ASSIGNED_CLIENT_ID), Some("alice:phone"));
}

#[tokio::test]
async fn a_token_that_expires_ends_the_connection() {
    let world = World::new().await;
    // Started at different moments of a second: rounding must never end one early.
    let mut ending = tokio::task::JoinSet::new();
    for n in 0..6 {
        let version = BOTH[n % 2];
        let device = format!("short-{n}");
        let token = world.server.token("alice", &device, "2s").await;
        let hello = godwit_testkit::probe::connect(version, "alice", &device, &token);
        let (mut probe, _) = Probe::connect(&world.mqtt(), &hello).await;
        let address = world.mqtt();
        ending.spawn(async move {
            assert_eq!(probe.ended().await, (version == Version::V5).then_some(0x87));
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            let exp = Duration::from_secs(expiry(&token));
            assert!(now >= exp, "{:?} too early", exp - now);
            assert!(now < exp + Duration::from_secs(3), "{:?} too late", now - exp);
            let (_, welcome) = Probe::try_connect(&address, &hello).await;
            assert!(is_refusal(version, welcome.code), "{welcome:?}");
        });
        tokio::time::sleep(Duration::from_millis(170)).await;
    }
    while let Some(ended) = ending.join_next().await {
        ended.expect("each ends as it should");
    }
}
