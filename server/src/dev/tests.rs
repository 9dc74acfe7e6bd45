//! What `godwit dev` sets up and tells.

use std::time::Duration;

use clap::Parser as _;
use serde_json::Value;

use super::*;
use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::testing::Dir;

fn asked(line: &str) -> Dev {
    match Cli::try_parse_from(line.split(' ')).unwrap().command {
        Command::Dev(asked) => asked,
        other => panic!("{other:?}"),
    }
}

fn loaded(dir: &Dir, line: &str) -> (Dev, crate::config::Loaded) {
    let asked = asked(format!("godwit dev --data {} {line}", dir.path().display()).trim_end());
    let loaded = setup::load(&asked).unwrap();
    (asked, loaded)
}

fn ports(config: &Config) -> Vec<u16> {
    config.listen.all().iter().filter_map(|(_, at)| at.map(|at| at.port())).collect()
}

#[test]
fn ports_by_base_and_what_may_move() {
    let dir = Dir::new();
    let (plain, config) = loaded(&dir, "");
    assert_eq!(ports(&config.config), [1883, 8883, 8083, 8084, 8080]);
    assert!(setup::may_move(&plain, &config, "mqtt"));
    let (zero, config) = loaded(&dir, "--port-base 0");
    assert_eq!(ports(&config.config), [0; 5]);
    assert!(!setup::may_move(&zero, &config, "mqtt"));
    let (_, config) = loaded(&dir, "--port-base 21000");
    assert_eq!(ports(&config.config), [21000, 21001, 21002, 21003, 21004]);
    let (chosen, config) = loaded(&dir, "--set listen.mqtt=127.0.0.1:7");
    assert_eq!(ports(&config.config)[0], 7);
    assert!(!setup::may_move(&chosen, &config, "mqtt"));
    assert!(setup::may_move(&chosen, &config, "ws"));
    // An address that somebody names wins over the base.
    let (_, config) = loaded(&dir, "--port-base 0 --set listen.http=127.0.0.1:9");
    assert_eq!(ports(&config.config), [0, 0, 0, 0, 9]);
}

#[test]
fn open_is_for_loopback_alone() {
    let mut config = Config::default();
    setup::refuse_beyond_loopback(&config).unwrap();
    config.listen.ws = Some(([0, 0, 0, 0], 8083).into());
    let message = setup::refuse_beyond_loopback(&config).unwrap_err().to_string();
    assert!(message.contains("listen.ws = 0.0.0.0:8083 is not loopback"), "{message}");
}

#[test]
fn the_certificate_is_made_once_and_serves() {
    let dir = Dir::new();
    let (_, first) = loaded(&dir, "");
    let read = || std::fs::read(dir.path().join("dev-cert.pem")).unwrap();
    let made = read();
    let _ = loaded(&dir, "");
    assert_eq!(read(), made);
    assert!(crate::listeners::tls(&first.config).unwrap().is_some());
    std::fs::remove_file(dir.path().join("dev-key.pem")).unwrap();
    let (_, again) = loaded(&dir, "");
    assert_ne!(read(), made);
    assert!(crate::listeners::tls(&again.config).unwrap().is_some());
}

#[tokio::test]
async fn a_busy_port_is_replaced_or_told() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let busy = taken.local_addr().unwrap();
    let mut config = Config::default();
    config.listen.mqtt = Some(busy);
    (config.listen.ws, config.listen.http) = (None, None);
    let bound = Bound::bind(&config, |name| name == "mqtt").await.unwrap();
    let got = bound.address("mqtt").unwrap();
    assert_ne!(got, busy);
    assert_eq!(setup::moved(&config, &bound), [("mqtt", busy, got)]);
    let message = Bound::bind(&config, |_| false).await.unwrap_err().to_string();
    assert!(message.contains(&busy.to_string()) && message.contains("in use"), "{message}");
    config.listen.mqtt = None;
    config.listen.http = Some(busy);
    let message = Bound::bind(&config, |_| false).await.unwrap_err().to_string();
    assert!(message.contains("listen.http"), "{message}");
}

#[test]
fn what_is_told() {
    let dir = Dir::new();
    let mut config = Config::default();
    config.server.data_dir = dir.path().to_owned();
    config.auth.token_age_max = Duration::from_secs(3600);
    let key = EmbeddedKey::load(&config).unwrap();
    let at = |port| ([0, 0, 0, 0], port).into();
    let welcome = Welcome {
        users: people::tokens(&key, &config, clock::now_ms()).unwrap(),
        admin: crate::secret::Secret::new("admin"),
        conversation: godwit_core::ids::ConversationId([0; 16]),
        moved: vec![("mqtt", at(1), at(2))],
        addresses: vec![("mqtt", at(2)), ("ws", at(3)), ("wss", at(4)), ("http", at(5))],
        open: true,
        reachable: vec!["listen.mqtt = 0.0.0.0:2 is open".to_owned()],
        data_dir: dir.path().to_owned(),
    };
    let record: Value = serde_json::from_str(&welcome.record()).unwrap();
    assert_eq!(record["mqtt"], "127.0.0.1:2");
    assert_eq!(record["ws"], "ws://127.0.0.1:3/mqtt");
    assert_eq!(record["wss"], "wss://127.0.0.1:4/mqtt");
    assert_eq!(record["http"], "http://127.0.0.1:5");
    assert_eq!(record["admin_token"], "admin");
    assert_eq!(record["conversation"], "AAAAAAAAAAAAAAAAAAAAAA");
    // The tokens are believed, also where the configuration allows short ones only.
    let door = crate::auth::Doorkeeper::new(&config, &key, false).unwrap();
    for (user, device) in [("alice", "phone"), ("alice", "laptop"), ("bob", "phone")] {
        let token = record["users"][user][device].as_str().unwrap();
        let verified = door.verify(token.as_bytes()).unwrap();
        assert_eq!(verified.identity.to_string(), format!("{user}:{device}"));
    }
    let text = welcome.text();
    for part in [
        "port 1 was busy, so mqtt is on 2",
        "mosquitto_sub -h 127.0.0.1 -p 2 -i bob:phone -u bob -c -q 1 -t c/AAAAAAAAAAAAAAAAAAAAAA -P ey",
        "mosquitto_sub -V 5",
        "-t c/AAAAAAAAAAAAAAAAAAAAAA/hello-1 -m 'hello, bob' -P ey",
        "mosquitto_pub -V 5",
        "OPEN",
        "WARNING: listen.mqtt = 0.0.0.0:2 is open.",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}
