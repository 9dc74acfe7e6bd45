//! What goes wrong before a server serves: one clear message with the way out, exit code 2.

use std::process::Stdio;

use godwit_testkit::scratch::Scratch;
use godwit_testkit::server::executable;
use godwit_testkit::{rest, until, within};
use tokio::process::Command;

use super::world::World;

/// Runs the executable to its end: exit code, standard output, standard error.
async fn run(arguments: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(executable());
    command.args(arguments).envs(env.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let out = within("the command's end", command.output()).await.expect("the executable starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

/// It must fail with these words in its message, and without a panic or a backtrace.
async fn refused(arguments: &[&str], env: &[(&str, &str)], words: &[&str]) {
    let (code, _, error) = run(arguments, env).await;
    assert_eq!(code, Some(2), "{arguments:?} {env:?}: {error}");
    for word in words {
        assert!(error.contains(word), "{arguments:?}: {word} is not in: {error}");
    }
    assert!(!error.contains("panicked"), "{error}");
    assert!(error.lines().count() <= 12, "one clear message: {error}");
}

#[tokio::test]
async fn what_cannot_be_served_is_said_with_the_way_out() {
    let scratch = Scratch::new("startup");
    let data = scratch.path().join("data").display().to_string();
    let dev = ["dev", "--port-base", "0", "--data", &data];
    let file = scratch.path().join("godwit.toml");
    std::fs::write(&file, "[listen]\nmqtt = \"127.0.0.1:0\"\nmqqts = \"\"\n").expect("a file");
    let file = file.display().to_string();
    let words = ["godwit.toml:3", "mqqts", "mqtts"];
    refused(&["serve", "--config", &file, "--data", &data], &[], &words).await;
    refused(&["config", "check", "--config", &file], &[], &words).await;
    let misspelt = [("GODWIT__LIMITS__BODY_BYTE_MAX", "5")];
    refused(&dev, &misspelt, &["GODWIT__LIMITS__BODY_BYTE_MAX", "BODY_BYTES_MAX"]).await;
    refused(&["serve", "--config", "/nowhere/godwit.toml"], &[], &["/nowhere/godwit.toml"]).await;
    let nowhere = ["dev", "--port-base", "0", "--data", "/dev/null/data"];
    refused(&nowhere, &[], &["/dev/null/data"]).await;

    let busy = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = busy.local_addr().expect("its address").to_string();
    refused(&dev, &[("GODWIT__LISTEN__MQTT", &address)], &[&address]).await;

    // A port where nobody listens: it was free a moment ago.
    drop(busy);
    let url = format!("postgres://godwit:topsecret@{address}/godwit");
    let env = [("GODWIT__STORE__KIND", "postgres"), ("GODWIT__STORE__POSTGRES_URL", url.as_str())];
    refused(&dev, &env, &["Postgres", "store.postgres_url"]).await;
    let (_, _, error) = run(&dev, &env).await;
    assert!(!error.contains("topsecret"), "a secret in a message: {error}");
}

#[tokio::test]
async fn two_servers_do_not_share_a_data_directory() {
    let world = World::new().await;
    let data = world.server.data().display().to_string();
    refused(&["dev", "--port-base", "0", "--data", &data], &[], &[&data, "--data"]).await;
    // The first one does not notice.
    world.probe(super::world::BOTH[0], "alice", "phone").await.fence().await;
}

#[tokio::test]
async fn a_schema_newer_than_the_server_is_refused() {
    let mut world = World::new().await;
    world.server.stop().await;
    let _ = world.server.store().ask(
        "insert into _sqlx_migrations \
        select 9999, 'from the future', installed_on, success, checksum, execution_time \
        from _sqlx_migrations limit 1",
    );
    let data = world.server.data().display().to_string();
    refused(&["dev", "--port-base", "0", "--data", &data], &[], &["newer"]).await;
    let (code, said, error) = run(&["migrate", "status", "--data", &data], &[]).await;
    assert!(code.is_some(), "{error}");
    assert!(format!("{said}{error}").contains("9999"), "{said}{error}");
}

#[tokio::test]
async fn the_default_configuration_is_one_that_works() {
    let scratch = Scratch::new("default");
    let (code, text, _) = run(&["config", "default"], &[]).await;
    assert_eq!(code, Some(0));
    let file = scratch.path().join("godwit.toml");
    std::fs::write(&file, text).expect("a file");
    let data = scratch.path().join("data").display().to_string();
    let file = file.display().to_string();
    let (code, _, error) = run(&["config", "check", "--config", &file, "--data", &data], &[]).await;
    assert_eq!(code, Some(0), "{error}");
    let secret = [("GODWIT__STORE__POSTGRES_URL", "postgres://u:topsecret@h/d")];
    let (code, printed, error) = run(&["config", "print", "--config", &file], &secret).await;
    assert_eq!(code, Some(0), "{error}");
    assert!(printed.contains("limits") && !printed.contains("topsecret"), "{printed}");
}

/// `godwit serve` by a file, as an installation has it: a schema first, then a server.
#[tokio::test]
async fn serve_starts_by_its_configuration() {
    let scratch = Scratch::new("serve");
    let data = scratch.path().join("data").display().to_string();
    let http = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = http.local_addr().expect("its address").to_string();
    drop(http);
    let env = [
        ("GODWIT__LISTEN__MQTT", "127.0.0.1:0"),
        ("GODWIT__LISTEN__WS", ""),
        ("GODWIT__LISTEN__HTTP", address.as_str()),
        ("GODWIT__LOG__FORMAT", "json"),
    ];
    let log = scratch.path().join("log");
    let file = std::fs::File::create(&log).expect("a file");
    let mut child = Command::new(executable())
        .args(["serve", "--data", &data])
        .envs(env)
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a second handle"))
        .stderr(file)
        .kill_on_drop(true)
        .spawn()
        .expect("the executable starts");
    until("readiness", async || {
        let connected = tokio::net::TcpStream::connect(&address).await.is_ok();
        let status = child.try_wait().expect("a child of ours");
        assert!(status.is_none(), "{status:?}: {:?}", std::fs::read_to_string(&log));
        connected.then_some(())
    })
    .await;
    let base = format!("http://{address}");
    for path in ["/livez", "/readyz", "/openapi.json"] {
        assert_eq!(rest::ask(&base, "GET", path, "", None).await.status, 200, "{path}");
    }
    let metrics = rest::ask(&base, "GET", "/metrics", "", None).await;
    assert!(metrics.text.contains("# TYPE godwit_"), "{}", metrics.text);
    let pid = child.id().expect("it runs").to_string();
    Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill(1)");
    assert!(within("its end", child.wait()).await.expect("a child of ours").success());
    for line in std::fs::read_to_string(&log).expect("a log").lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("every line is JSON");
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
}
