//! The real `godwit` executable on a private data directory.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::rest::{self, Caller, Reply};
use crate::scratch::Scratch;
use crate::{POLL, WAIT, ledger, rows, within};

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `dev --open`.
    pub open: bool,
    /// The store: this Postgres database instead of SQLite.
    pub postgres_url: Option<String>,
    /// Further configuration, as `GODWIT__SECTION__KEY` and value.
    pub env: Vec<(String, String)>,
    /// A program and its arguments that runs the server as its child (strace).
    pub wrapper: Vec<String>,
}

impl Options {
    /// With one more key of the configuration.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_string()));
        self
    }
}

/// A running (or killed) server. Dropped, it is killed and its directory removed.
#[derive(Debug)]
pub struct Godwit {
    data: Scratch,
    options: Options,
    child: Option<Child>,
    info: Value,
}

/// The executable under test: `GODWIT_BIN`, or the one that was built beside this test.
#[must_use]
pub fn executable() -> PathBuf {
    if let Some(path) = std::env::var_os("GODWIT_BIN") {
        return PathBuf::from(path);
    }
    let own = std::env::current_exe().expect("this executable's own path");
    // A tool is beside it, a test one below: target/debug/deps/test.
    let folders = own.ancestors().skip(1).take(2).map(|folder| folder.join("godwit"));
    let mut found = folders.filter(|path| path.is_file());
    found.next().unwrap_or_else(|| panic!("build it first: cargo build --bin godwit ({own:?})"))
}

impl Godwit {
    /// Starts `godwit dev` on SQLite and waits until it is ready.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts `godwit dev` and waits until it is ready.
    pub async fn start_with(options: Options) -> Self {
        let mut server =
            Self { data: Scratch::new("server"), options, child: None, info: Value::Null };
        server.launch().await;
        server
    }

    async fn launch(&mut self) {
        let ready = self.data.path().join("dev.json");
        // A killed server leaves it behind.
        let _ = std::fs::remove_file(&ready);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path());
        let log = log.expect("a log in the data directory");
        let mut words = self.options.wrapper.clone();
        words.push(executable().display().to_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["dev", "--port-base", "0", "--data"]).arg(self.data.path());
        if self.options.open {
            command.arg("--open");
        }
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GODWIT__")) {
            command.env_remove(name);
        }
        if let Some(url) = &self.options.postgres_url {
            command.env("GODWIT__STORE__KIND", "postgres").env("GODWIT__STORE__POSTGRES_URL", url);
            // Most tests' Postgres does not flush: it is faster.
            command.env("GODWIT__STORE__POSTGRES_ACCEPT_DATA_LOSS", "true");
        }
        command.envs(self.options.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let mut child = command.kill_on_drop(true).spawn().expect("the executable starts");
        let start = Instant::now();
        self.info = loop {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                panic!("godwit ended with {status} before it was ready:\n{}", self.log());
            }
            let text = std::fs::read_to_string(&ready).unwrap_or_default();
            if let Ok(info) = serde_json::from_str(&text) {
                break info;
            }
            assert!(start.elapsed() < WAIT, "not ready within {WAIT:?}:\n{}", self.log());
            tokio::time::sleep(POLL).await;
        };
        self.child = Some(child);
    }

    /// Ends it by SIGKILL, as a power cut would.
    pub async fn kill9(&mut self) {
        let mut child = self.child.take().expect("a running server");
        child.kill().await.expect("a child of ours");
    }

    /// Ends it by SIGTERM; how long it took. Panics when it did not end well.
    pub async fn stop(&mut self) -> Duration {
        let start = Instant::now();
        self.terminate().await;
        self.wait_end().await;
        start.elapsed()
    }

    /// Sends SIGTERM and does not wait.
    pub async fn terminate(&self) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(status.expect("kill(1)").success(), "SIGTERM to {pid}");
    }

    /// Waits for the end after [`Godwit::terminate`]; it must be a success.
    pub async fn wait_end(&mut self) {
        let mut child = self.child.take().expect("a running server");
        let status = within("the server's end", child.wait()).await.expect("a child of ours");
        assert!(status.success(), "ended with {status}:\n{}", self.log());
    }

    /// Starts it again on the same data and the same ports.
    pub async fn restart(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        for (key, name) in [("MQTT", "mqtt"), ("HTTP", "http"), ("WS", "ws")] {
            let address = self.address(name);
            self.options.env.push((format!("GODWIT__LISTEN__{key}"), address));
        }
        self.launch().await;
    }

    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        let child = self.child.as_ref().expect("a running server");
        let own = child.id().expect("not awaited yet");
        if self.options.wrapper.is_empty() {
            return own;
        }
        let children = format!("/proc/{own}/task/{own}/children");
        let children = std::fs::read_to_string(children).expect("the wrapper lives");
        children.split(' ').next().and_then(|pid| pid.parse().ok()).expect("the wrapper's child")
    }

    /// Resident memory in bytes.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most resident memory so far, in bytes.
    #[must_use]
    pub fn resident_peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, which: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("a running server");
        let line = status.lines().find(|l| l.starts_with(which)).expect("a line of memory");
        let kib = line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
        kib.expect("a number") * 1024
    }

    /// Where its data is.
    #[must_use]
    pub fn data(&self) -> &std::path::Path {
        self.data.path()
    }

    fn log_path(&self) -> PathBuf {
        self.data.path().join("server.log")
    }

    /// What it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// dev.json as it is.
    #[must_use]
    pub fn info(&self) -> &Value {
        &self.info
    }

    fn field(&self, name: &str) -> &str {
        self.info[name].as_str().unwrap_or_else(|| panic!("dev.json lacks {name}: {}", self.info))
    }

    /// `host:port` of a listener: `mqtt`, `mqtts`, `ws`, `wss`, `http`.
    #[must_use]
    pub fn address(&self, name: &str) -> String {
        let url = self.field(name);
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest).to_owned()
    }

    /// `host:port` of plain MQTT.
    #[must_use]
    pub fn mqtt(&self) -> String {
        self.address("mqtt")
    }

    /// The conversation that `dev` made between alice and bob.
    #[must_use]
    pub fn conversation(&self) -> &str {
        self.field("conversation")
    }

    /// The admin token.
    #[must_use]
    pub fn admin(&self) -> &str {
        self.field("admin_token")
    }

    /// A token of `dev`'s own users.
    #[must_use]
    pub fn dev_token(&self, user: &str, device: &str) -> String {
        let token = self.info["users"][user][device].as_str();
        token.unwrap_or_else(|| panic!("dev.json has no {user}:{device}")).to_owned()
    }

    /// Mints a token by `godwit token`.
    pub async fn token(&self, user: &str, device: &str, ttl: &str) -> String {
        let out = Command::new(executable())
            .args(["token", "--user", user, "--device", device, "--ttl", ttl, "--data"])
            .arg(self.data.path())
            .stdin(Stdio::null())
            .output()
            .await
            .expect("the executable starts");
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "godwit token ended with {}: {error}", out.status);
        String::from_utf8(out.stdout).expect("a token is ASCII").trim().to_owned()
    }

    /// Runs another command of the executable on this server's data and store; whether it succeeded,
    /// and what it printed on both outputs.
    pub async fn command(&self, words: &[&str]) -> (bool, String) {
        let mut command = Command::new(executable());
        command.args(words).arg("--data").arg(self.data.path());
        if let Some(url) = &self.options.postgres_url {
            command.env("GODWIT__STORE__KIND", "postgres").env("GODWIT__STORE__POSTGRES_URL", url);
            command.env("GODWIT__STORE__POSTGRES_ACCEPT_DATA_LOSS", "true");
        }
        let out = command.stdin(Stdio::null()).output().await.expect("the executable starts");
        let text = [out.stdout, out.stderr].concat();
        (out.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// One HTTP request with this token.
    pub async fn ask(&self, method: &str, path: &str, token: &str, body: Option<&Value>) -> Reply {
        rest::ask(&format!("http://{}", self.address("http")), method, path, token, body).await
    }

    /// REST with this token, as often as wanted.
    #[must_use]
    pub fn caller(&self, token: &str) -> Caller {
        Caller::new(&format!("http://{}", self.address("http")), token)
    }

    /// Creates a conversation as the admin; its id.
    pub async fn create(&self, kind: &str, members: &[&str]) -> String {
        let body = json!({ "kind": kind, "members": members });
        let reply = self.ask("POST", "/v1/conversations", self.admin(), Some(&body)).await;
        assert!(matches!(reply.status, 200 | 201), "{reply:?}");
        let found = reply.json();
        let id = found["id"].as_str();
        id.unwrap_or_else(|| panic!("no id in {found}")).to_owned()
    }

    /// Where it stores, to be looked at from outside.
    #[must_use]
    pub fn store(&self) -> rows::Place {
        match &self.options.postgres_url {
            Some(url) => rows::Place::Postgres(url.clone()),
            None => rows::Place::Sqlite(self.data().join("godwit.db")),
        }
    }

    /// What every scenario asks at its end: is every acknowledged message in the log, once, at the
    /// place and with the id that its PUBACK named? Has no log a gap? Is the outbox empty (if the
    /// server runs)? Did nothing panic?
    pub fn verdict(&mut self) {
        assert!(!self.log().contains("panicked at"), "the server panicked:\n{}", self.log());
        let store = self.store();
        assert_eq!(store.torn(), 0, "logs with a gap");
        let mut entries: HashMap<String, u32> = HashMap::new();
        for entry in store.entries() {
            *entries.entry(entry).or_default() += 1;
        }
        let port = self.mqtt().rsplit(':').next().and_then(|port| port.parse().ok());
        for (seq, mid) in ledger::take(port.expect("a port")) {
            let bytes = URL_SAFE_NO_PAD.decode(&mid).expect("a message id");
            let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
            let count = entries.get(&format!("{seq} {hex}"));
            assert_eq!(count, Some(&1), "{mid} was acknowledged at {seq}");
        }
        let Some(child) = &mut self.child else { return };
        assert_eq!(child.try_wait().expect("a child of ours"), None, "it ended by itself");
        let start = Instant::now();
        while store.count("outbox") > 0 {
            assert!(start.elapsed() < WAIT, "the outbox is not emptied");
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Godwit {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("--- the server's last words ---");
            for line in tail.into_iter().rev() {
                eprintln!("{line}");
            }
        }
        // A wrapper killed alone would leave its child behind.
        if let Some(child) = &mut self.child {
            let _ = child.start_kill();
        }
    }
}
