//! What keeps a connection and a server going: keep alive, fresh tokens, fresh certificates.

use std::time::{Duration, Instant};

use godwit_testkit::probe::Probe;
use godwit_testkit::until;
use godwit_testkit::wire::{self, Properties, Received, Value, Version, id};
use tokio::process::Command;

use super::world::{BOTH, World};

#[tokio::test]
async fn silence_beyond_the_keep_alive_ends_a_connection() {
    let world = World::new().await;
    for version in BOTH {
        let mut hello = world.hello(version, "alice", "phone").await;
        hello.keep_alive_s = 1;
        let (mut alice, _) = Probe::connect(&world.mqtt(), &hello).await;
        let start = Instant::now();
        assert_eq!(alice.ended().await, (version == Version::V5).then_some(0x8D));
        // One and a half times the keep alive; the sweep that looks for it may take a second more.
        let took = start.elapsed();
        assert!((1400..4000).contains(&took.as_millis()), "after {took:?}");
    }
}

#[tokio::test]
async fn the_server_bounds_the_keep_alive() {
    let options =
        godwit_testkit::server::Options::default().with("GODWIT__LIMITS__KEEP_ALIVE_MAX", "100s");
    let world = World::with(options).await;
    for (asked, told) in [(0, Some(100)), (50, None), (5000, Some(100))] {
        let mut hello = world.hello(Version::V5, "alice", "phone").await;
        hello.keep_alive_s = asked;
        let (_alice, welcome) = Probe::connect(&world.mqtt(), &hello).await;
        assert_eq!(welcome.properties.number(id::SERVER_KEEP_ALIVE), told, "asked for {asked}");
    }
}

#[tokio::test]
async fn a_fresh_token_keeps_a_connection_alive() {
    const AUTH_METHOD: u8 = 0x15;
    const AUTH_DATA: u8 = 0x16;
    let world = World::new().await;
    let short = world.server.token("alice", "auth", "2s").await;
    let hello = godwit_testkit::probe::connect(Version::V5, "alice", "auth", &short)
        .with(AUTH_METHOD, Value::Text(b"token".to_vec()));
    let (mut alice, welcome) = Probe::try_connect(&world.mqtt(), &hello).await;
    assert_eq!(welcome.code, 0, "{welcome:?}");
    let long = world.server.token("alice", "auth", "1h").await;
    let properties = Properties::none()
        .with(AUTH_METHOD, Value::Text(b"token".to_vec()))
        .with(AUTH_DATA, Value::Text(long.into_bytes()));
    alice.write(&wire::auth(0x19, &properties)).await;
    let code = alice
        .wait_for("an AUTH", |packet| match packet {
            Received::Auth { code } => Some(*code),
            _ => None,
        })
        .await;
    assert_eq!(code, 0);
    // The time itself is what is tested: the first token is long over.
    tokio::time::sleep(Duration::from_millis(3500)).await;
    assert_eq!(alice.publish(&world.c(), b"still here").await.code, 0);
}

/// The certificate that a TLS client is shown, as PEM.
async fn shown(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').expect("host:port");
    let code =
        "import ssl, sys\nprint(ssl.get_server_certificate((sys.argv[1], int(sys.argv[2]))))";
    let out = Command::new("python3").args(["-c", code, host, port]).output().await;
    let out = out.expect("python3");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("PEM").trim().to_owned()
}

#[tokio::test]
async fn certificates_are_read_again_on_sighup() {
    let (world, other) = tokio::join!(World::new(), World::new());
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    let pem = |world: &World| {
        let path = world.server.data().join("dev-cert.pem");
        std::fs::read_to_string(path).expect("a certificate").trim().to_owned()
    };
    let address = world.server.address("mqtts");
    let before = pem(&world);
    assert_eq!(shown(&address).await, before);
    for name in ["dev-cert.pem", "dev-key.pem"] {
        let from = other.server.data().join(name);
        std::fs::copy(from, world.server.data().join(name)).expect("another certificate");
    }
    let fresh = pem(&other);
    assert_ne!(before, fresh);
    let pid = world.server.pid().to_string();
    Command::new("kill").args(["-HUP", &pid]).status().await.expect("kill(1)");
    until("the other certificate", async || (shown(&address).await == fresh).then_some(())).await;
    // A broken one is not taken, and nobody is disturbed by any of it.
    std::fs::write(world.server.data().join("dev-cert.pem"), "no certificate").expect("a file");
    Command::new("kill").args(["-HUP", &pid]).status().await.expect("kill(1)");
    until("a word in the log", async || {
        let log = world.server.log();
        log.lines().any(|line| line.contains("ERROR") || line.contains("WARN")).then_some(())
    })
    .await;
    assert_eq!(shown(&address).await, fresh);
    assert_eq!(alice.publish(&world.c(), b"undisturbed").await.code, 0);
}
