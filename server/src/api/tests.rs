//! REST over a real socket and a real SQLite store.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use godwit_core::bus::Announcement;
use godwit_core::commit::{Send, SendKey};
use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, Identity, MessageId};
use godwit_core::membership::{ChangeRequest, Conversation, Refused};
use metrics_exporter_prometheus::PrometheusBuilder;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::auth::keyring::EmbeddedKey;
use crate::config::Config;
use crate::store::{Opened, Pending};
use crate::testing::Dir;

const ADMIN: &str = "an-admin-token-for-tests";

/// Changes members in the store, and remembers what was announced.
struct Heard(Mutex<Vec<Announcement>>, Arc<dyn Store>);

impl ChangeMembers for Heard {
    fn change_members<'a>(
        &'a self,
        request: &'a ChangeRequest,
    ) -> godwit_core::store::Pending<'a, Result<(Entry, Conversation), Refused>> {
        Box::pin(async move {
            let changed = self.1.change_members(request).await?;
            if let Ok((entry, conversation)) = &changed {
                let (entry, group_version) = (Arc::new(entry.clone()), conversation.group_version);
                self.0.lock().push(Announcement { entry, group_version });
            }
            Ok(changed)
        })
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

    /// Asserts a refusal and its form.
    fn refused(&self, status: u16, code: &str, part: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
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
        let dir = Dir::new();
        let mut config = Config::default();
        config.server.data_dir = dir.path().to_owned();
        let opened = Opened::open(&config).await.unwrap();
        opened.ensure(Pending::Refuse).await.unwrap();
        let key = EmbeddedKey::load(&config).unwrap();
        let heard = Arc::new(Heard(Mutex::default(), opened.port()));
        let api = Arc::new(Api {
            store: opened.port(),
            changes: Arc::clone(&heard) as Arc<dyn ChangeMembers>,
            door: Arc::new(Doorkeeper::new(&config, &key, false).unwrap()),
            admin: AdminToken::new(ADMIN).unwrap(),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            serving: AtomicBool::new(true),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, mut stopped) = watch::channel(false);
        tokio::spawn(serve::serve(listener, router(Arc::clone(&api)), async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        }));
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

    async fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> Reply {
        let auth = if token.is_empty() {
            String::new()
        } else {
            format!("Authorization: Bearer {token}\r\n")
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{auth}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.raw(format!("{head}{body}").as_bytes()).await
    }

    async fn create(&self, token: &str, kind: &str, members: &[&str]) -> Reply {
        let body = json!({"kind": kind, "members": members}).to_string();
        self.ask("POST", "/v1/conversations", token, &body).await
    }

    /// Commits messages of alice.
    async fn send(&self, cid: &str, bodies: &[&[u8]]) {
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        let conversation: ConversationId = cid.parse().unwrap();
        let batch: Vec<Send> = bodies
            .iter()
            .map(|body| {
                let mut id = [0; 16];
                id[8..].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
                Send {
                    conversation,
                    from: "alice:phone".parse().unwrap(),
                    key: SendKey::Server(MessageId(id)),
                    message_id: MessageId(id),
                    body: Bytes::copy_from_slice(body),
                    group_version: None,
                    previous_chain: None,
                    reply_to: None,
                    expires_ms: (*body == b"short-lived").then_some(1),
                    time_ms: 1_700_000_000_000,
                }
            })
            .collect();
        let committed = self.api.store.commit(&batch).await.unwrap();
        assert_eq!(committed.entries.len(), bodies.len());
    }
}

fn id(reply: &Reply) -> String {
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn who_creates_what() {
    let world = World::new().await;
    let alice = world.token("alice:phone");
    let roles = |reply: &Reply| {
        let found = reply.json();
        let members = found["members"].as_array().unwrap().clone();
        let text =
            |m: &Value| format!("{}:{}", m["user"].as_str().unwrap(), m["role"].as_str().unwrap());
        members.iter().map(text).collect::<Vec<_>>().join(" ")
    };
    let reply = world.create(ADMIN, "direct", &["bob", "alice"]).await;
    assert_eq!(roles(&reply), "alice:member bob:member");
    assert!(
        reply.head.contains(&format!("location: /v1/conversations/{}", id(&reply)).to_lowercase())
    );
    let reply = world.create(&alice, "direct", &["bob"]).await;
    assert_eq!(roles(&reply), "alice:member bob:member");
    let reply = world.create(&alice, "direct", &["alice", "bob"]).await;
    assert_eq!(roles(&reply), "alice:member bob:member");
    let reply = world.create(&alice, "group", &["zoe", "bob", "zoe"]).await;
    assert_eq!(roles(&reply), "alice:owner bob:member zoe:member");
    let reply = world.create(ADMIN, "group", &["zoe", "bob"]).await;
    assert_eq!(roles(&reply), "bob:member zoe:owner");
    assert_eq!((&reply.json()["head"], &reply.json()["group_version"]), (&json!(0), &json!(1)));
    let path = format!("/v1/conversations/{}", id(&reply));
    assert_eq!(world.ask("GET", &path, ADMIN, "").await.json(), reply.json());
    world.ask("GET", &path, &alice, "").await.refused(404, "not_found", "member");
}

#[tokio::test]
async fn creation_is_refused_with_what_and_where() {
    let world = World::new().await;
    let alice = world.token("alice:phone");
    let create = |body: &'static str| world.ask("POST", "/v1/conversations", ADMIN, body);
    for (body, part) in [
        ("", "the body is empty"),
        ("{", "line 1 column"),
        ("[]", "invalid"),
        (r#"{"kind":"direct"}"#, "missing field `members`"),
        (r#"{"kind":"club","members":[]}"#, "unknown variant `club`"),
        (r#"{"kind":"group","members":[],"title":"x"}"#, "unknown field `title`"),
        (r#"{"kind":"group","members":[]}"#, "members is empty"),
        (r#"{"kind":"group","members":["ok","a/#"]}"#, "members[1] may hold only"),
        (r#"{"kind":"group","members":["ok",""]}"#, "members[1] must have 1 to 64"),
        (r#"{"kind":"direct","members":["a"]}"#, "exactly two"),
        (r#"{"kind":"direct","members":["a","a"]}"#, "exactly two"),
        (r#"{"kind":"direct","members":["a","b","c"]}"#, "exactly two"),
    ] {
        create(body).await.refused(400, "bad_request", part);
    }
    let reply = world.create(&alice, "direct", &["bob", "carol"]).await;
    reply.refused(400, "bad_request", "not 3");
    let large = "x".repeat(crate::limits::HTTP_BODY_BYTES_MAX + 1);
    let reply = world.ask("POST", "/v1/conversations", ADMIN, &large).await;
    reply.refused(413, "too_large", "bytes");
}

#[tokio::test]
async fn tokens_are_needed_and_judged() {
    let world = World::new().await;
    let path = "/v1/conversations/AAAAAAAAAAAAAAAAAAAAAA";
    for (token, part) in
        [("", "send the header"), ("nonsense", "no token"), ("an-admin-token-for-test", "no token")]
    {
        let reply = world.ask("GET", path, token, "").await;
        reply.refused(401, "unauthorized", part);
        assert!(reply.head.contains("www-authenticate: bearer"));
    }
    let basic = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic YTpi\r\n\r\n"
    );
    world.raw(basic.as_bytes()).await.refused(401, "unauthorized", "Bearer");
    world.ask("GET", path, ADMIN, "").await.refused(404, "not_found", "no conversation");
    world.ask("GET", "/v1/conversations/x", ADMIN, "").await.refused(
        400,
        "bad_request",
        "22 characters",
    );
}

#[tokio::test]
async fn messages_come_by_pages() {
    let world = World::new().await;
    let cid = id(&world.create(ADMIN, "group", &["alice", "bob"]).await);
    world.send(&cid, &[b"one", b"\xff\x00", b"short-lived", b"four"]).await;
    let path = |query: &str| format!("/v1/conversations/{cid}/messages{query}");
    let bob = world.token("bob:phone");
    let all = world.ask("GET", &path(""), &bob, "").await.json();
    assert_eq!((&all["head"], &all["next"]), (&json!(4), &Value::Null));
    let first = &all["messages"][0];
    for (field, expected) in [
        ("seq", json!(1)),
        ("kind", json!("message")),
        ("from", json!("alice")),
        ("device", json!("phone")),
        ("ts", json!(1_700_000_000_000_u64)),
        ("body", json!("b25l")),
        ("text", json!("one")),
        ("body_gone", json!(false)),
    ] {
        assert_eq!(first[field], expected, "{field}");
    }
    assert_eq!(first["mid"].as_str().map(str::len), Some(22));
    assert_eq!(first["chain"].as_str().map(str::len), Some(16));
    let second = &all["messages"][1];
    assert_eq!((&second["body"], second.get("text")), (&json!("/wA="), None));
    let expired = &all["messages"][2];
    assert_eq!((&expired["body"], &expired["body_gone"]), (&json!(""), &json!(true)));

    let seqs = |list: &Value| -> Vec<u64> {
        list["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap()).collect()
    };
    for (query, expected, next) in [
        ("?limit=2", vec![1, 2], json!(2)),
        ("?after=2&limit=2", vec![3, 4], Value::Null),
        ("?after=3&limit=1000000", vec![4], Value::Null),
        ("?limit=0", vec![1], json!(1)),
        ("?after=99", vec![], Value::Null),
        ("?after=18446744073709551615", vec![], Value::Null),
    ] {
        let page = world.ask("GET", &path(query), &bob, "").await.json();
        assert_eq!((seqs(&page), &page["next"]), (expected, &next), "{query}");
    }
    for (query, part) in [
        ("?after=-1", "after in the query must be a whole number"),
        ("?limit=x", "limit in the query"),
        ("?before=3", "only after and limit"),
    ] {
        world.ask("GET", &path(query), &bob, "").await.refused(400, "bad_request", part);
    }
    let mallory = world.token("mallory:phone");
    world.ask("GET", &path(""), &mallory, "").await.refused(404, "not_found", "no conversation");
}

#[tokio::test]
async fn members_change_and_live_devices_hear_of_it() {
    let world = World::new().await;
    let (alice, bob) = (world.token("alice:phone"), world.token("bob:phone"));
    let carol = world.token("carol:phone");
    let cid = id(&world.create(&alice, "group", &["bob"]).await);
    world.send(&cid, &[b"before carol"]).await;
    let members = format!("/v1/conversations/{cid}/members");
    let add = r#"{"users":["carol","carol"]}"#;

    world.ask("POST", &members, &bob, add).await.refused(403, "forbidden", "only an owner");
    world.ask("POST", &members, &carol, add).await.refused(404, "not_found", "no conversation");
    world.ask("POST", &members, &alice, r#"{"users":[]}"#).await.refused(
        400,
        "bad_request",
        "empty",
    );
    assert!(world.heard.0.lock().is_empty());

    let reply = world.ask("POST", &members, &alice, add).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!((&reply.json()["group_version"], &reply.json()["head"]), (&json!(2), &json!(2)));
    {
        let heard = world.heard.0.lock();
        assert_eq!(heard.len(), 1);
        assert_eq!((heard[0].entry.seq.0, heard[0].group_version), (2, 2));
    }
    // Carol sees her own entry and what follows, not what was before.
    let messages = format!("/v1/conversations/{cid}/messages");
    let list = world.ask("GET", &messages, &carol, "").await.json();
    assert_eq!(list["messages"].as_array().map(Vec::len), Some(1));
    let entry = &list["messages"][0];
    assert_eq!((&entry["kind"], &entry["seq"]), (&json!("membership"), &json!(2)));
    let change = json!({"change": "added", "users": ["carol"], "group_version": 2});
    assert_eq!((&entry["membership"], &entry["body"]), (&change, &json!("")));

    world.ask("POST", &members, &alice, add).await.refused(409, "conflict", "already");
    // Bob may leave but not remove.
    let one = |user: &str| format!("{members}/{user}");
    world.ask("DELETE", &one("carol"), &bob, "").await.refused(
        403,
        "forbidden",
        "anyone may leave",
    );
    assert_eq!(world.ask("DELETE", &one("bob"), &bob, "").await.status, 200);
    world.ask("GET", &messages, &bob, "").await.refused(404, "not_found", "no conversation");
    assert_eq!(world.ask("DELETE", &one("carol"), ADMIN, "").await.status, 200);
    world.ask("DELETE", &one("carol"), ADMIN, "").await.refused(409, "conflict", "already");
    world.ask("DELETE", &one("a%2Fb"), ADMIN, "").await.refused(400, "bad_request", "the path");
    assert_eq!(world.heard.0.lock().len(), 3);

    let direct = id(&world.create(ADMIN, "direct", &["alice", "bob"]).await);
    let path = format!("/v1/conversations/{direct}/members");
    world.ask("POST", &path, ADMIN, add).await.refused(409, "conflict", "direct");
}

#[tokio::test]
async fn health_says_which_part_is_down() {
    let world = World::new().await;
    assert_eq!(world.ask("GET", "/livez", "", "").await.json()["status"], "live");
    let ready = world.ask("GET", "/readyz", "", "").await;
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("ready")));
    world.api.drain();
    let draining = world.ask("GET", "/readyz", "", "").await;
    assert_eq!(draining.status, 503);
    assert_eq!(draining.json()["parts"]["listeners"]["status"], "down");
    assert_eq!(draining.json()["parts"]["store"]["status"], "up");
    world.opened.close().await;
    let down = world.ask("GET", "/readyz", "", "").await;
    assert_eq!((down.status, &down.json()["parts"]["store"]["status"]), (503, &json!("down")));
    let reply = world.ask("GET", "/v1/conversations/AAAAAAAAAAAAAAAAAAAAAA", ADMIN, "").await;
    assert!(matches!(reply.status, 500 | 503), "{reply:?}");
    assert_eq!(world.ask("GET", "/livez", "", "").await.status, 200);
}

#[tokio::test]
async fn paths_and_methods_that_are_not() {
    let world = World::new().await;
    world.ask("GET", "/", "", "").await.refused(404, "not_found", "openapi");
    let reply = world.ask("PUT", "/v1/conversations", ADMIN, "{}").await;
    reply.refused(405, "method_not_allowed", "openapi");
    assert!(reply.head.contains("allow: post"), "{reply:?}");
    assert_eq!(world.ask("GET", "/metrics", "", "").await.status, 200);
}

#[tokio::test]
async fn the_document_is_whole() {
    let world = World::new().await;
    let document = world.ask("GET", "/openapi.json", "", "").await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for (path, methods) in [
        ("/v1/conversations", &["post"][..]),
        ("/v1/conversations/{cid}", &["get"]),
        ("/v1/conversations/{cid}/messages", &["get"]),
        ("/v1/conversations/{cid}/members", &["post"]),
        ("/v1/conversations/{cid}/members/{user}", &["delete"]),
        ("/livez", &["get"]),
        ("/readyz", &["get"]),
        ("/metrics", &["get"]),
    ] {
        for method in methods {
            assert!(document["paths"][path][method].is_object(), "{method} {path}");
        }
    }
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    // Every schema that is pointed to is there.
    let text = document.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}
