//! REST over a real socket, the real bridge and a real SQLite store. One file a resource.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use godwit_bridge::{Bridge, Ports};
use godwit_bus::InProcess;
use godwit_core::bus::{Announce, Announcement, Cut, Listen, Signal};
use godwit_core::commit::{Act, Fate, Send, SendKey};
use godwit_core::ids::{Identity, MessageId};
use godwit_core::policy::Policy;
use godwit_core::tasks::Supervisor;
use metrics_exporter_prometheus::PrometheusBuilder;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::audit::Audit;
use crate::auth::Doorkeeper;
use crate::auth::keyring::{AdminToken, EmbeddedKey};
use crate::auth::watch::Watch;
use crate::config::Config;
use crate::limits::{HTTP_REQUEST_TIME_MAX, HTTP_STRANGERS_BODY_BYTES_MAX};
use crate::store::{Opened, Pending};
use crate::testing::Dir;

mod blocks;
mod conversations;
mod cors;
mod deadlines;
mod devices;
mod document;
mod health;
mod inbox;
mod keys;
mod members;
mod messages;
mod receipts;
mod settings;
mod users;

const ADMIN: &str = "an-admin-token-for-tests";

/// When the tests' messages are sent: milliseconds since 1970.
const SENT_MS: u64 = 1_700_000_000_000;

/// Remembers what was told.
#[derive(Default)]
struct Heard {
    announced: Mutex<Vec<Announcement>>,
    signalled: Mutex<Vec<Signal>>,
}

impl Listen for Heard {
    fn announced(&self, announcements: &[Announcement]) {
        self.announced.lock().extend_from_slice(announcements);
    }

    fn signalled(&self, signals: &[Signal]) {
        self.signalled.lock().extend_from_slice(signals);
    }
}

struct World {
    address: std::net::SocketAddr,
    api: Arc<Api>,
    heard: Arc<Heard>,
    key: EmbeddedKey,
    opened: Opened,
    _stop: watch::Sender<bool>,
    _dir: Dir,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// A header's value; its name in lower case.
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Asserts the status and gives the body.
    fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// Asserts a refusal and its form.
    fn refused(&self, status: u16, code: &str, part: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)));
        assert_eq!(problem["type"], json!(format!("urn:godwit:problem:{code}")));
        assert!(problem["title"].is_string());
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(part), "{detail:?} has no {part:?}");
    }
}

impl World {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(set: impl FnOnce(&mut Config)) -> Self {
        let dir = Dir::new();
        let mut config = Config::default();
        config.server.data_dir = dir.path().to_owned();
        set(&mut config);
        let opened = Opened::open(&config).await.unwrap();
        opened.ensure(Pending::Refuse).await.unwrap();
        let key = EmbeddedKey::load(&config).unwrap();
        let (heard, bus) = (Arc::new(Heard::default()), InProcess::new());
        let door = Arc::new(Doorkeeper::new(&config, &key, false).unwrap());
        bus.listen(Arc::clone(&heard) as Arc<dyn Listen>);
        let options = godwit_bridge::Options { commit_lanes: 1, ..Default::default() };
        let announce = Arc::clone(&bus) as Arc<dyn Announce>;
        let ports = Ports {
            store: opened.port(),
            announce: Arc::clone(&announce),
            stream: Arc::clone(&bus) as _,
            supervisor: Supervisor::new(|death| panic!("{death}")),
        };
        let bridge = Bridge::start(ports, options, 7);
        bus.listen(Arc::clone(&bridge) as Arc<dyn Listen>);
        let cuts: Vec<Arc<dyn Cut>> = vec![Arc::clone(&bridge) as _];
        let tokens_end = crate::auth::tokens_end(&config);
        let revocations = Watch::new(opened.port(), Arc::clone(&door), cuts, tokens_end);
        let api = Arc::new(Api {
            store: opened.port(),
            control: bridge,
            announce,
            door,
            revocations,
            admin: AdminToken::new(ADMIN).unwrap(),
            audit: Audit::start(&config).unwrap(),
            accounts: Accounts::new(&config, &key),
            rates: Rates::new(config.limits.requests_per_s),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            probe: Arc::default(),
            serving: AtomicBool::new(true),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = router(Arc::clone(&api), &config.http.cors_origins);
        let (stop, stopped) = watch::channel(false);
        let entrances = vec![serve::Entrance { listener, tls: None }];
        let bounds = serve::Bounds::shared_by_any(100);
        let supervisor = Supervisor::new(|death| panic!("{death}"));
        supervisor.stop();
        tokio::spawn(serve::serve(entrances, router, bounds, supervisor, stopped));
        Self { address, api, heard, key, opened, _stop: stop, _dir: dir }
    }

    fn token(&self, who: &str) -> String {
        let identity: Identity = who.parse().unwrap();
        let ttl = Duration::from_secs(600);
        self.key.mint(&identity, ttl, None, crate::clock::now_ms()).unwrap().expose().to_owned()
    }

    async fn raw(&self, request: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut bytes = Vec::new();
        // A server that refuses early may reset what it did not read.
        let _ = stream.read_to_end(&mut bytes).await;
        let answer = String::from_utf8(bytes).unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head: head.to_ascii_lowercase(), text: text.to_owned() }
    }

    async fn ask_with(
        &self,
        method: &str,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        if !token.is_empty() {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        self.raw(format!("{head}{body}").as_bytes()).await
    }

    async fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> Reply {
        self.ask_with(method, path, token, &[], body).await
    }

    async fn get(&self, path: &str, token: &str) -> Reply {
        self.ask("GET", path, token, "").await
    }

    async fn create(&self, token: &str, kind: &str, members: &[&str]) -> Reply {
        let body = json!({"kind": kind, "members": members}).to_string();
        self.ask("POST", "/v1/conversations", token, &body).await
    }

    /// Does something in a conversation, as a device would over MQTT.
    async fn act(&self, from: &str, cid: &str, act: Act, body: &[u8]) -> Fate {
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        let mut id = [0; 16];
        id[8..].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let send = Send {
            conversation: cid.parse().unwrap(),
            from: from.parse().unwrap(),
            key: SendKey::Server(MessageId(id)),
            message_id: MessageId(id),
            act,
            body: Bytes::copy_from_slice(body),
            group_version: None,
            previous_chain: None,
            expires_ms: (body == b"short-lived").then_some(1),
            time_ms: SENT_MS,
            reads: false,
        };
        self.api.store.commit(&[send], &Policy::default()).await.unwrap().fates[0]
    }

    /// Commits messages of alice.
    async fn send(&self, cid: &str, bodies: &[&[u8]]) {
        for body in bodies {
            let fate = self.act("alice:phone", cid, Act::MESSAGE, body).await;
            assert!(matches!(fate, Fate::Accepted { .. }), "{fate:?}");
        }
    }

    /// Forgets what was heard so far, and gives it.
    fn signals(&self) -> Vec<Signal> {
        std::mem::take(&mut self.heard.signalled.lock())
    }
}

fn id(reply: &Reply) -> String {
    assert!(matches!(reply.status, 200 | 201), "{reply:?}");
    reply.json()["id"].as_str().unwrap().to_owned()
}

/// Walks a list to its end, `limit` items a page, and gives the field `name` of each item (or the
/// items themselves, when `name` is empty).
async fn walk(world: &World, path: &str, token: &str, list: &str, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    for _ in 0..99 {
        let page = world.get(&format!("{path}{cursor}"), token).await.ok(200);
        for item in page[list].as_array().unwrap() {
            let value = if name.is_empty() { item } else { &item[name] };
            found.push(value.as_str().unwrap().to_owned());
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
    panic!("the list {path} does not end: {found:?}");
}
