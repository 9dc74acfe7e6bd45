//! `godwit dev` from start to end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Dir, done, godwit, refused};

/// How long a step may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Dev {
    child: Child,
    info: Value,
}

impl Dev {
    fn start(dir: &Dir, more: &[&str]) -> Self {
        let mut child = godwit(&["dev", "--port-base", "0", "--data", dir.text()])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let file = dir.path().join("dev.json");
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Ok(info) = serde_json::from_str(&text) {
                return Self { child, info };
            }
            assert_eq!(child.try_wait().unwrap(), None, "it ended");
            assert!(start.elapsed() < PATIENCE, "not ready");
            // How often to look again, not how long to wait.
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn field(&self, name: &str) -> &str {
        self.info[name].as_str().unwrap()
    }

    fn get(&self, path: &str, token: &str) -> String {
        self.request("GET", path, token)
    }

    fn request(&self, method: &str, path: &str, token: &str) -> String {
        let host = self.field("http").strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Stops it by SIGTERM; how long that took.
    fn stop(&mut self) -> Duration {
        let start = Instant::now();
        self.signal("-TERM");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        start.elapsed()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Already ended, but for a test that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// MQTT 3.1.1's CONNECT, clean session; the CONNACK's return code.
fn connect(address: &str, client_id: &str, user: &str, password: &str) -> u8 {
    let text =
        |s: &str| [&u16::try_from(s.len()).unwrap().to_be_bytes()[..], s.as_bytes()].concat();
    let flags = if password.is_empty() { 0x02 } else { 0xC2 };
    let mut body = [&text("MQTT")[..], &[4, flags, 0, 60], &text(client_id)].concat();
    if !password.is_empty() {
        body.extend([text(user), text(password)].concat());
    }
    let mut packet = vec![0x10];
    let mut length = body.len();
    loop {
        let byte = u8::try_from(length % 128).unwrap();
        length /= 128;
        packet.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&packet).unwrap();
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).unwrap();
    assert_eq!(connack[..2], [0x20, 2]);
    connack[3]
}

#[test]
fn a_whole_life() {
    let dir = Dir::new();
    let mut dev = Dev::start(&dir, &[]);
    for name in ["mqtt", "mqtts", "ws", "wss", "http"] {
        assert!(dev.info[name].is_string(), "{name} is missing in {}", dev.info);
    }
    let (cid, mqtt) = (dev.field("conversation").to_owned(), dev.field("mqtt").to_owned());
    let bob = dev.info["users"]["bob"]["phone"].as_str().unwrap().to_owned();
    let shown = dev.get(&format!("/v1/conversations/{cid}"), &bob);
    assert!(shown.starts_with("HTTP/1.1 200") && shown.contains("\"alice\""), "{shown}");
    assert!(dev.get("/readyz", "").starts_with("HTTP/1.1 200"));
    let metrics = dev.get("/metrics", "");
    assert!(metrics.contains("godwit_build_info"));
    for line in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(metrics.contains(&format!("# HELP {name} ")), "{name} has no help");
    }

    assert_eq!(connect(&mqtt, "bob:phone", "bob", &bob), 0);
    assert_eq!(connect(&mqtt, "bob:laptop", "bob", &bob), 5);
    assert_eq!(connect(&mqtt, "bob:phone", "bob", "wrong"), 4);
    assert_eq!(connect(&mqtt, "anyone", "", ""), 4);
    let arguments = ["token", "--user", "carol", "--device", "pad", "--data", dir.text()];
    let carol = done(&godwit(&arguments).output().unwrap());
    assert_eq!(connect(&mqtt, "carol:pad", "carol", carol.trim()), 0);

    // The directory is this one's.
    let output = godwit(&["dev", "--port-base", "0", "--data", dir.text()]).output().unwrap();
    assert!(refused(&output).contains("another godwit serves from"));
    // SIGHUP reads again and goes on.
    dev.signal("-HUP");
    assert_eq!(connect(&mqtt, "bob:phone", "bob", &bob), 0);

    // What operators do is written down, by name; scopes hold; a new token is good after SIGHUP.
    let arguments = ["admin", "add", "support", "--scopes", "read", "--data", dir.text()];
    let support = done(&godwit(&arguments).output().unwrap());
    dev.signal("-HUP");
    let start = Instant::now();
    let path = format!("/v1/conversations/{cid}");
    while !dev.get(&path, support.trim()).starts_with("HTTP/1.1 200") {
        assert!(start.elapsed() < PATIENCE, "the new token is not read");
    }
    let refused = dev.request("DELETE", "/v1/devices/phone?user=bob", support.trim());
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    let admin = dev.field("admin_token").to_owned();
    assert!(dev.get("/v1/users/bob", &admin).starts_with("HTTP/1.1 200"));
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let wanted = [
        ("audit.log", format!("\"GET {path}\",\"who\":\"operator:support\"")),
        ("audit.log", "\"outcome\":\"403\",".to_owned()),
        ("audit.log", "\"GET /v1/users/bob\",\"who\":\"operator:operator\"".to_owned()),
        ("audit.log", "\"event\":\"reload\"".to_owned()),
        ("audit-connects.log", "\"who\":\"bob:phone\"".to_owned()),
        ("audit-connects.log", "\"outcome\":\"0x86\"".to_owned()),
        ("audit-connects.log", "\"address\":\"127.0.0.1:".to_owned()),
    ];
    for (file, part) in &wanted {
        while !read(file).contains(part.as_str()) {
            assert!(start.elapsed() < PATIENCE, "{part} is not in {file}: {}", read(file));
        }
        assert!(!read(file).contains(&admin) && !read(file).contains(&bob), "a token in {file}");
    }

    let took = dev.stop();
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert!(!dir.path().join("dev.json").exists());

    // The conversation, the key and the certificate are the same the next time.
    let mut again = Dev::start(&dir, &[]);
    assert_eq!(again.field("conversation"), cid);
    assert_eq!(connect(again.field("mqtt"), "bob:phone", "bob", &bob), 0);
    again.stop();
}

#[test]
fn open_lets_anyone_in() {
    let dir = Dir::new();
    let mut dev = Dev::start(&dir, &["--open"]);
    let mqtt = dev.field("mqtt").to_owned();
    assert_eq!(connect(&mqtt, "any client/#", "", ""), 0);
    assert_eq!(connect(&mqtt, "", "", ""), 0);
    assert_eq!(connect(&mqtt, "alice:phone", "alice", "no token"), 4);
    dev.stop();
}

#[test]
fn a_record_left_by_a_killed_server_is_replaced() {
    let dir = Dir::new();
    let mut first = Dev::start(&dir, &[]);
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    assert!(dir.path().join("dev.json").exists());
    let stale = first.info.clone();
    // While the second one refuses to start, the stale record is not mistaken for its own.
    std::fs::remove_file(dir.path().join("dev.json")).unwrap();
    let mut second = Dev::start(&dir, &[]);
    assert_ne!(second.info["mqtt"], stale["mqtt"]);
    assert_eq!(second.info["admin_token"], stale["admin_token"]);
    second.stop();
}
