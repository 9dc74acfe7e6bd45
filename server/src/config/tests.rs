//! The configuration as a whole.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;

use super::keys::KEYS;
use super::layers::Layers;
use super::*;

fn none() -> std::iter::Empty<(String, String)> {
    std::iter::empty()
}

/// Loads `text` as a file of that name in a directory of its own.
fn load_file(
    text: &str,
    variables: &[(&str, &str)],
    set: &[(&str, &str)],
) -> Result<Loaded, String> {
    let dir = crate::testing::Dir::new();
    let file = dir.path().join("godwit.toml");
    std::fs::write(&file, text).unwrap();
    let sources = Sources {
        file: Some(file),
        arguments: set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..Sources::default()
    };
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    load(&sources, variables).map_err(|failure| failure.to_string())
}

#[test]
fn the_file_is_the_default() {
    let loaded = load(&Sources::default(), none()).unwrap();
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn the_file_and_the_table_name_the_same_keys() {
    let mut layers = Layers::default();
    layers.defaults(DEFAULT);
    assert_eq!(layers.mistakes, Vec::<String>::new());
    let file: BTreeSet<_> = layers.values.keys().copied().collect();
    let table: BTreeSet<_> = KEYS.iter().map(|key| key.path).collect();
    assert_eq!(file, table);
    assert_eq!(table.len(), KEYS.len(), "a key stands twice in the table");
}

#[test]
fn later_layers_win() {
    let file = "[limits]\nreceive_maximum = 10\ninflight_max = 30\ninflight_default = 7\n";
    let env = [("GODWIT__LIMITS__RECEIVE_MAXIMUM", "11"), ("GODWIT__LIMITS__INFLIGHT_MAX", "31")];
    let loaded = load_file(file, &env, &[("limits.inflight_max", "32")]).unwrap();
    let limits = &loaded.config.limits;
    assert_eq!((limits.inflight_default, limits.receive_maximum, limits.inflight_max), (7, 11, 32));
    assert!(loaded.origin("limits.inflight_default").to_string().ends_with("godwit.toml:4"));
    assert_eq!(
        loaded.origin("limits.receive_maximum").to_string(),
        "GODWIT__LIMITS__RECEIVE_MAXIMUM"
    );
    assert_eq!(loaded.origin("limits.inflight_max"), super::layers::Origin::CommandLine);
    assert_eq!(loaded.origin("limits.body_bytes_max").to_string(), "default");
}

#[test]
fn mistakes_in_a_file_name_their_line_and_the_way_out() {
    let table: &[(&str, &[&str])] = &[
        ("[listen]\n\nmqqt = \"127.0.0.1:1883\"\n", &["toml:3:", "listen.mqtt?"]),
        ("[limit]\nx = 1\n", &["toml:1:", "no such section: limit", "limits?"]),
        ("data_dir = \"x\"\n", &["toml:1:", "no such key: data_dir"]),
        ("listen = 5\n", &["toml:1:", "write [listen]"]),
        ("[limits]\nbody_bytes_max = \"1k\"\n", &["toml:2:", "a whole number from 1 to 1048576"]),
        ("[limits]\nbody_bytes_max = 0\n", &["toml:2:", "from 1 to"]),
        ("[limits]\nbody_bytes_max = 99999999999999999999\n", &["toml:2:", "from 1 to"]),
        ("[limits]\nconnect_timeout = 5\n", &["toml:2:", "a duration from \"100ms\" to \"1m\""]),
        ("[accounts]\nenabled = \"yes\"\n", &["toml:2:", "true or false"]),
        ("[store]\nkind = \"mysql\"\n", &["toml:2:", "\"sqlite\" or \"postgres\""]),
        ("[listen]\nmqtt = \"localhost\"\n", &["toml:2:", "an address"]),
        ("[listen]\nmqtt = \n", &["toml:2:", "not TOML"]),
        ("[server]\nworker_threads = 2\nworker_threads = 3\n", &["toml:3:", "not TOML"]),
        (
            "[[auth.issuers]]\nname = \"a\"\nalgorithm = \"HS256\"\nkey_file = \"k\"\n",
            &["toml:1:", "\"EdDSA\" or \"ES256\" or \"RS256\""],
        ),
        (
            "[[auth.issuers]]\nname = \"a\"\nalgorithm = \"ES256\"\nsecret_file = \"k\"\n",
            &["no such key: secret_file", "exactly one of key_file and jwks_file"],
        ),
        ("[[auth.issuers]]\nkey_file = \"k\"\n", &["name is missing", "algorithm is missing"]),
    ];
    for (text, parts) in table {
        let message = load_file(text, &[], &[]).unwrap_err();
        for part in *parts {
            assert!(message.contains(part), "{text:?} said {message:?}, not {part:?}");
        }
        assert!(message.contains("godwit config default"), "{message}");
    }
}

#[test]
fn mistakes_elsewhere_name_the_variable_or_the_argument() {
    let message = load_file("", &[("GODWIT__LIMITS__BODY_BYTE_MAX", "5")], &[]).unwrap_err();
    assert!(message.contains("GODWIT__LIMITS__BODY_BYTE_MAX: no such key"), "{message}");
    assert!(message.contains("did you mean GODWIT__LIMITS__BODY_BYTES_MAX?"), "{message}");
    let message = load_file("", &[("GODWIT__LIMITS__BODY_BYTES_MAX", "big")], &[]).unwrap_err();
    assert!(message.contains("GODWIT__LIMITS__BODY_BYTES_MAX: limits.body_bytes_max must be"));
    let message = load_file("", &[], &[("log.formt", "json")]).unwrap_err();
    assert!(message.contains("the command line: no such key: log.formt; did you mean log.format?"));
    // Others' variables are not ours to judge.
    for name in ["GODWIT_HOME", "PATH", "GODWIT_STORE_PORT", "GODWIT_SERVER_SERVICE_HOST"] {
        assert!(load_file("", &[(name, "x")], &[]).is_ok(), "{name}");
    }
    for name in ["GODWIT_LISTEN_MQTT", "GODWIT_LISTEN__MQTT", "GODWIT_LISTEN_MQQT"] {
        let message = load_file("", &[(name, "x")], &[]).unwrap_err();
        assert!(message.contains(&format!("{name} is not read")), "{message}");
        assert!(message.contains("did you mean GODWIT__LISTEN__MQTT?"), "{message}");
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let message = load_file(
        "[limits]\nreceive_maximum = 0\n[log]\nformat = \"xml\"\n",
        &[("GODWIT__X__Y", "1")],
        &[],
    )
    .unwrap_err();
    for part in ["limits.receive_maximum", "log.format", "GODWIT__X__Y"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn relations_are_checked() {
    let table: &[(&str, &str)] = &[
        ("limits.packet_bytes_max=2048", "at least limits.body_bytes_max"),
        ("limits.queue_bytes_max=2048", "limits.queue_bytes_max"),
        ("limits.inflight_max=4", "limits.inflight_default"),
        ("limits.keep_alive_max=5s", "limits.connect_timeout"),
        ("commit.queue_sends_max=3", "no batch could fill"),
        ("commit.delay_max=1s", ""),
        ("retention.bodies_age_max=1s", "retention.interval"),
        ("accounts.token_ttl=401d", "accounts.token_ttl"),
        ("accounts.signup=true", "accounts.signup needs accounts.enabled"),
        ("limits.conversation_sends_per_s=99", "limits.large_group_sends_per_s"),
        ("limits.conversation_sends_per_s=0", ""),
        ("presence.offline_delay_min=21s", "presence.offline_delay_max"),
        ("store.kind=postgres", "store.postgres_url is needed"),
        ("store.postgres_url=mysql://u:hunter2@h/d", "must begin with postgres://"),
        ("store.postgres_url=postgresql://h/d", ""),
        ("listen.mqtts=127.0.0.1:8883", "listen.tls_cert_file"),
        ("listen.tls_cert_file=x.pem", "listen.tls_key_file"),
        ("listen.http=127.0.0.1:1883", "listen.mqtt and listen.http are the same"),
    ];
    for (set, part) in table {
        let pair = set.split_once('=').unwrap();
        match load_file("", &[], &[pair]) {
            Ok(_) => assert!(part.is_empty(), "{set} was taken"),
            Err(message) => assert!(!part.is_empty() && message.contains(part), "{set}: {message}"),
        }
    }
    let issuer = "[[auth.issuers]]\nname = \"godwit\"\nalgorithm = \"ES256\"\nkey_file = \"k\"\n";
    assert!(load_file(issuer, &[], &[]).unwrap_err().contains("embedded issuer's own name"));
    let signup = "[accounts]\nenabled = true\nsignup = true\n";
    assert!(load_file(signup, &[], &[]).is_ok());
    let both = format!("{signup}{}", issuer.replace("\"godwit\"", "\"x\""));
    assert!(load_file(&both, &[], &[]).unwrap_err().contains("together with auth.issuers"));
}

#[test]
fn what_is_printed_reads_back_and_hides_secrets() {
    let file = "[store]\npostgres_url = \"postgres://u:hunter2@h/d\"\n[plain]\npublish = [\"a/#\"]\n\
                [[auth.issuers]]\nname = \"a\"\nalgorithm = \"ES256\"\nkey_file = \"k\"\n";
    let loaded = load_file(file, &[], &[]).unwrap();
    let text = print::print(&loaded.layers);
    assert!(!text.contains("hunter2") && text.contains("postgres_url = \"***\""), "{text}");
    assert!(!format!("{:?}", loaded.config).contains("hunter2"));
    assert!(text.contains("godwit.toml:2"), "{text}");
    let again = load_file(&text, &[], &[]).unwrap();
    let mut expected = loaded.config;
    expected.store.postgres_url = crate::secret::Secret::new("***");
    assert_eq!(again.config, expected);
}

#[test]
fn a_file_cut_anywhere_is_read_or_refused() {
    let text = "[limits]\nreceive_maximum = 10\n[[auth.issuers]]\nname = \"a\"\n\
                algorithm = \"ES256\"\nkey_file = \"k\"\n";
    for end in 0..=text.len() {
        match load_file(&text[..end], &[], &[]) {
            Ok(loaded) => assert!(loaded.config.limits.receive_maximum > 0),
            Err(message) => assert!(message.contains("godwit.toml:"), "{message}"),
        }
    }
}

proptest! {
    /// No text makes the reader panic, and what it takes passes the table's own checks.
    #[test]
    fn any_text_is_read_or_refused(text in "(\\[{0,2}(listen|limits|auth|x)[.a-z]*\\]{0,2}|[a-z_.]{0,9}|=|\"|\n|[0-9]|[#\\\\{}é]| ){0,24}") {
        let mut layers = Layers::default();
        layers.defaults(DEFAULT);
        layers.file(Path::new("any.toml"), &text);
        for key in KEYS {
            prop_assert!(key.kind.allows(&layers.values[key.path].0), "{}", key.path);
        }
    }
}
