//! What `godwit dev` tells people on standard output, and programs in `dev.json`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use godwit_core::ids::ConversationId;
use serde_json::{Map, Value, json};

use super::people::Person;
use crate::listeners::dialable;
use crate::secret::Secret;

/// A server that is ready.
#[derive(Debug)]
pub(super) struct Welcome {
    pub(super) users: Vec<Person>,
    pub(super) admin: Secret,
    pub(super) conversation: ConversationId,
    /// Listener, port asked for, port got.
    pub(super) moved: Vec<(&'static str, SocketAddr, SocketAddr)>,
    pub(super) addresses: Vec<(&'static str, SocketAddr)>,
    pub(super) open: bool,
    /// One sentence for each listener that other machines reach.
    pub(super) reachable: Vec<String>,
    pub(super) data_dir: PathBuf,
}

/// Removes `dev.json`; one that is not there is as good.
pub(super) fn remove(record: &Path) {
    if let Err(error) = std::fs::remove_file(record)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "dev.json cannot be removed");
    }
}

impl Welcome {
    /// `dev.json`: CONTRACT.md, "First minute".
    pub(super) fn record(&self) -> String {
        let mut record = Map::new();
        for (name, url) in self.urls() {
            record.insert(name.to_owned(), Value::String(url));
        }
        record.insert("admin_token".to_owned(), json!(self.admin.expose()));
        record.insert("conversation".to_owned(), json!(self.conversation.to_string()));
        let mut users = Map::new();
        for person in &self.users {
            let devices = users.entry(person.user).or_insert_with(|| json!({}));
            devices[person.device] = json!(person.token.expose());
        }
        record.insert("users".to_owned(), Value::Object(users));
        format!("{:#}\n", Value::Object(record))
    }

    /// Each listener's name and how a client names it.
    fn urls(&self) -> Vec<(&'static str, String)> {
        let url = |name: &str, at: SocketAddr| match name {
            "ws" => format!("ws://{at}/mqtt"),
            "wss" => format!("wss://{at}/mqtt"),
            "http" => format!("http://{at}"),
            _ => at.to_string(),
        };
        self.addresses.iter().map(|(name, at)| (*name, url(name, dialable(*at)))).collect()
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("godwit {} is ready\n\n", env!("CARGO_PKG_VERSION"));
        for (name, url) in self.urls() {
            let _ = writeln!(text, "  {name:<6} {url}");
        }
        for (name, asked, got) in &self.moved {
            let _ =
                writeln!(text, "  port {} was busy, so {name} is on {}", asked.port(), got.port());
        }
        let _ = writeln!(
            text,
            "\n  data         {0}\n  all of this  {0}/dev.json\n  certificate  {0}/dev-cert.pem \
             (signs itself, for localhost)\n  conversation {1} (alice and bob)\n  admin token  {2}",
            self.data_dir.display(),
            self.conversation,
            self.admin.expose()
        );
        for person in &self.users {
            let name = format!("{}:{}", person.user, person.device);
            let _ = writeln!(text, "  {name:<12} {}", person.token.expose());
        }
        text.push_str(&self.examples());
        if self.open {
            text.push_str(
                "\n  OPEN: every program on this machine may connect without a token, under any \
                 client id,\n  and use every plain topic. Never serve others like this.\n",
            );
        }
        for warning in &self.reachable {
            let _ = write!(text, "\n  WARNING: {warning}.\n");
        }
        text.push_str("\nCtrl-C stops it.\n");
        text
    }

    fn examples(&self) -> String {
        let token = |user: &str| {
            self.users
                .iter()
                .find(|person| person.user == user)
                .map_or("", |person| person.token.expose())
        };
        let Some((_, mqtt)) = self.addresses.iter().find(|(name, _)| *name == "mqtt") else {
            return String::new();
        };
        let at = dialable(*mqtt);
        let (host, port, cid) = (at.ip(), at.port(), self.conversation);
        let sub = |version: &str, expiry: &str| {
            format!(
                "mosquitto_sub{version} -h {host} -p {port} -i bob:phone -u bob -c{expiry} -q 1 \
                 -t c/{cid} -P {}",
                token("bob")
            )
        };
        let publish = |version: &str, key: &str| {
            format!(
                "mosquitto_pub{version} -h {host} -p {port} -i alice:phone -u alice -q 1 \
                 -t c/{cid}/{key} -m 'hello, bob' -P {}",
                token("alice")
            )
        };
        format!(
            "\nBob listens, and is told what he missed when he comes back (MQTT 3.1.1, then \
             5):\n\n{}\n\n{}\n\nAlice writes; the last level of the topic is her own key for the \
             message, so that\nsending it again is no second message:\n\n{}\n\n{}\n",
            sub("", ""),
            sub(" -V 5", " -x 86400"),
            publish("", "hello-1"),
            publish(" -V 5", "hello-2"),
        )
    }
}
