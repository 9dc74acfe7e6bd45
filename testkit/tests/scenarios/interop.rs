//! The clients that people have: mosquitto's tools, paho-mqtt, mqtt.js over WebSocket.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use godwit_testkit::scratch::Scratch;
use godwit_testkit::until;
use godwit_testkit::wire::Version;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::world::World;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("testkit has a parent")
}

/// The Python that has paho-mqtt: ./test makes it.
fn python() -> PathBuf {
    let python = root().join("target/interop/venv/bin/python");
    assert!(python.exists(), "run ./test once: it makes {}", python.display());
    python
}

/// Runs a scenario program against a fresh server; its failure is the test's.
async fn run(program: PathBuf, arguments: &[&str], directory: &str) {
    let world = World::new().await;
    let scratch = Scratch::new("interop");
    let mut tokens = serde_json::Map::new();
    for name in ["alice:phone", "alice:laptop", "alice:tablet", "bob:phone", "mallory:phone"] {
        let (user, device) = name.split_once(':').expect("user:device");
        tokens.insert(name.to_owned(), world.token(user, device).await.into());
    }
    let description = json!({
        "mqtt": world.mqtt(),
        "ws": world.server.address("ws"),
        "conversation": world.cid,
        "tokens": tokens,
        "short_token": world.server.token("alice", "short", "4s").await,
    });
    let file = scratch.path().join("world.json");
    std::fs::write(&file, description.to_string()).expect("a scratch file");
    let output = Command::new(program)
        .args(arguments)
        .arg(&file)
        .current_dir(root().join("testkit/interop").join(directory))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}\n{said}", output.status);
}

/// One test for each scenario, version and way of a client library.
macro_rules! library {
    ($library:ident: $($scenario:ident),* $(,)?) => {
        mod $library {
            $(mod $scenario {
                #[tokio::test]
                async fn mqtt_3() {
                    super::super::$library(stringify!($scenario), "3").await;
                }

                #[tokio::test]
                async fn mqtt_5() {
                    super::super::$library(stringify!($scenario), "5").await;
                }
            })*
        }
    };
}

async fn paho(scenario: &str, version: &str) {
    // WebSocket for one version, TCP for the other: paho's transport knows nothing of versions.
    let transport = if version == "3" { "websockets" } else { "tcp" };
    run(python(), &["scenarios.py", scenario, version, transport], "python").await;
}

async fn mqtt_js(scenario: &str, version: &str) {
    run(PathBuf::from("node"), &["scenarios.js", scenario, version], "js").await;
}

library!(paho: send_and_receive, offline, takeover, will, expiry, refused);
library!(mqtt_js: send_and_receive, offline, takeover, will, expiry, refused);

/// The fenced blocks of README.md under `heading`, as they stand.
fn readme_blocks(heading: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    let section = readme.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("README.md has no section {heading}"));
    let fenced = section.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```"));
    fenced.map(|(block, _)| block.to_owned()).collect()
}

/// README.md's first conversation, verbatim: one block to define, then pairs that listen and send.
#[tokio::test]
async fn the_readmes_lines_work_verbatim() {
    let world = World::new().await;
    let scratch = Scratch::new("readme");
    std::os::unix::fs::symlink(world.server.data(), scratch.path().join("data")).expect("a link");
    let blocks = readme_blocks("A first conversation");
    let [start, define, pairs @ ..] = blocks.as_slice() else { panic!("{blocks:?}") };
    assert_eq!(start.trim(), "cargo run --release -- dev");
    assert_eq!(pairs.len(), 4, "3.1.1 and 5, each listens and sends");
    for pair in pairs.chunks(2) {
        let shell = |block: &str| {
            let mut command = Command::new("bash");
            command.args(["-euc", &format!("{define}\nexec {block}")]);
            command.current_dir(scratch.path()).stdin(Stdio::null()).stderr(Stdio::inherit());
            command.kill_on_drop(true);
            command
        };
        let mut listening = shell(&pair[0]).stdout(Stdio::piped()).spawn().expect("bash");
        let mut lines = BufReader::new(listening.stdout.take().expect("piped")).lines();
        // mosquitto_sub does not say when it is subscribed, so a person's second try is ours too.
        let line = until("the message", async || {
            let status = shell(&pair[1]).status().await.expect("bash");
            assert!(status.success(), "{}: {status}", pair[1]);
            let next = tokio::time::timeout(std::time::Duration::from_secs(1), lines.next_line());
            next.await.ok()?.expect("a line")
        })
        .await;
        assert!(pair[1].contains(&line), "{line} was heard, but this was said: {}", pair[1]);
        listening.kill().await.expect("a child of ours");
    }
}

/// The certificate that `dev` makes is enough for mosquitto to know whom it talks to.
#[tokio::test]
async fn mosquitto_speaks_tls_with_the_certificate_of_dev() {
    let world = World::new().await;
    let mut bob = world.probe(Version::V5, "bob", "phone").await;
    bob.subscribe(&world.c()).await;
    let address = world.server.address("mqtts");
    let (host, port) = address.rsplit_once(':').expect("host:port");
    for version in ["311", "5"] {
        let status = Command::new("mosquitto_pub")
            .args(["-V", version, "-h", host, "-p", port, "-q", "1", "-i", "alice:phone"])
            .args(["-u", "alice", "-P", &world.token("alice", "phone").await])
            .arg("--cafile")
            .arg(world.server.data().join("dev-cert.pem"))
            .args(["-t", &world.c(), "-m", version])
            .status()
            .await
            .expect("mosquitto_pub");
        assert!(status.success(), "{status}");
        assert_eq!(bob.recv().await.payload, version.as_bytes());
    }
}
