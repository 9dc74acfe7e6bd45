//! Every key of the configuration: its name, and what it allows.
//!
//! One table serves the file, the environment, the command line and the error messages. A test
//! compares it with `config/default.toml`.

use std::net::SocketAddr;
use std::time::Duration;

use godwit_core::ids::UserId;
use godwit_core::limits as core_limits;
use toml::Value;

use super::span;
use crate::auth::filter;

/// A key, as `section.name`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// `section.name`.
    pub(crate) path: &'static str,
    /// What it allows.
    pub(crate) kind: Kind,
}

/// What a key allows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `IP:PORT`, or "" for off.
    Address,
    /// A file or directory; "" when it may be left open.
    File,
    /// Any text that is not empty.
    Text,
    /// A text that is never printed.
    Secret,
    /// `true` or `false`.
    Bool,
    /// A whole number, both ends allowed.
    Integer(u64, u64),
    /// A duration in milliseconds, both ends allowed.
    Span(u64, u64),
    /// Texts.
    Origins,
    /// User ids.
    Users,
    /// Plain topic filters.
    Filters,
    /// Tables, each an issuer of tokens.
    Issuers,
}

const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;
/// The largest body that the batches of the core take, with room for others in a batch.
const BODY_MAX: u64 = core_limits::BATCH_BYTES_MAX as u64 / 4;

const fn key(path: &'static str, kind: Kind) -> Key {
    Key { path, kind }
}

/// All keys, in the order of `config/default.toml`.
pub(crate) const KEYS: &[Key] = &[
    key("server.data_dir", Kind::File),
    key("server.worker_threads", Kind::Integer(0, 1024)),
    key("server.shutdown_timeout", Kind::Span(100, 60 * SECOND)),
    key("listen.mqtt", Kind::Address),
    key("listen.mqtts", Kind::Address),
    key("listen.ws", Kind::Address),
    key("listen.wss", Kind::Address),
    key("listen.http", Kind::Address),
    key("listen.https", Kind::Address),
    key("listen.probes", Kind::Address),
    key("listen.tls_cert_file", Kind::File),
    key("listen.tls_key_file", Kind::File),
    key("listen.ws_origins", Kind::Origins),
    key("http.cors_origins", Kind::Origins),
    key("store.kind", Kind::Choice(&["sqlite", "postgres"])),
    key("store.sqlite_file", Kind::File),
    key("store.postgres_url", Kind::Secret),
    key("store.postgres_connections_max", Kind::Integer(2, 512)),
    key("store.postgres_timeout", Kind::Span(SECOND, 300 * SECOND)),
    key("store.postgres_accept_data_loss", Kind::Bool),
    key("auth.embedded_key_file", Kind::File),
    key("auth.admin_token_file", Kind::File),
    key("auth.leeway", Kind::Span(0, 300 * SECOND)),
    key("auth.token_age_max", Kind::Span(60 * SECOND, 3660 * DAY)),
    key("auth.issuers", Kind::Issuers),
    key("accounts.enabled", Kind::Bool),
    key("accounts.signup", Kind::Bool),
    key("accounts.token_ttl", Kind::Span(SECOND, 3660 * DAY)),
    key("accounts.password_chars_min", Kind::Integer(1, 128)),
    key("limits.body_bytes_max", Kind::Integer(1, BODY_MAX)),
    key("limits.packet_bytes_max", Kind::Integer(1024, 16 << 20)),
    key("limits.receive_maximum", Kind::Integer(1, 1024)),
    key("limits.inflight_default", Kind::Integer(1, 1024)),
    key("limits.inflight_max", Kind::Integer(1, 1024)),
    key("limits.queue_deliveries_max", Kind::Integer(1, 65_535)),
    key("limits.queue_bytes_max", Kind::Integer(1024, 1 << 30)),
    key("limits.offline_deliveries_max", Kind::Integer(0, 1_000_000)),
    key("limits.offline_bytes_max", Kind::Integer(1024, 1 << 30)),
    key("limits.offline_per_user_bytes_max", Kind::Integer(1024, 1 << 40)),
    key("limits.offline_all_bytes_max", Kind::Integer(1024, 1 << 40)),
    key("limits.devices_per_user_max", Kind::Integer(0, 1_000_000)),
    key("limits.publishes_per_s", Kind::Integer(0, 10_000_000)),
    key("limits.publish_bytes_per_s", Kind::Integer(0, u32::MAX as u64)),
    key("limits.keep_alive_max", Kind::Span(0, 65_535 * SECOND)),
    key("limits.session_expiry_max", Kind::Span(0, 3660 * DAY)),
    key("limits.connections_max", Kind::Integer(1, 10_000_000)),
    key("limits.connections_per_address_max", Kind::Integer(1, 10_000_000)),
    key("limits.connects_per_s_per_address", Kind::Integer(0, 1_000_000)),
    key("limits.remote_connections_per_address_max", Kind::Integer(1, 10_000_000)),
    key("limits.remote_connects_per_s_per_address", Kind::Integer(0, 1_000_000)),
    key("limits.handshakes_max", Kind::Integer(1, 100_000)),
    key("limits.connect_timeout", Kind::Span(100, 60 * SECOND)),
    key("limits.write_stall_max", Kind::Span(SECOND, HOUR)),
    key("limits.retained_max", Kind::Integer(0, 10_000_000)),
    key("limits.retained_bytes_max", Kind::Integer(0, 1 << 40)),
    key("limits.retained_per_user_max", Kind::Integer(0, 10_000_000)),
    key("limits.retained_per_user_bytes_max", Kind::Integer(0, 1 << 40)),
    key("limits.subscriptions_max", Kind::Integer(1, core_limits::SUBSCRIPTIONS_MAX as u64)),
    key("limits.topic_alias_max", Kind::Integer(0, 65_535)),
    key("limits.user_sends_per_s", Kind::Integer(0, 10_000_000)),
    key("limits.conversation_sends_per_s", Kind::Integer(0, 10_000_000)),
    key("limits.large_group_members", Kind::Integer(2, core_limits::MEMBERS_MAX as u64)),
    key("limits.large_group_sends_per_s", Kind::Integer(0, 10_000_000)),
    key("limits.requests_per_s", Kind::Integer(0, 1_000_000)),
    key("limits.http_connections_max", Kind::Integer(8, 1_000_000)),
    key("limits.http_connections_per_address_max", Kind::Integer(1, 1_000_000)),
    key("limits.remote_http_connections_per_address_max", Kind::Integer(1, 1_000_000)),
    key("policy.edit_window", Kind::Span(0, 36_600 * DAY)),
    key("policy.delete_window", Kind::Span(0, 36_600 * DAY)),
    key("policy.add_to_groups", Kind::Choice(&["anyone", "contacts", "invitation"])),
    key("policy.strangers_per_day", Kind::Integer(0, 100_000)),
    key("policy.group_members_max", Kind::Integer(1, core_limits::MEMBERS_MAX as u64)),
    key("policy.large_group_users", Kind::Users),
    key("receipts.delay", Kind::Span(0, 10 * SECOND)),
    key("presence.offline_delay_min", Kind::Span(0, HOUR)),
    key("presence.offline_delay_max", Kind::Span(0, HOUR)),
    key("commit.batch_sends_max", Kind::Integer(1, core_limits::BATCH_SENDS_MAX as u64)),
    key("commit.delay_max", Kind::Span(0, SECOND)),
    key("commit.lanes", Kind::Integer(1, 16)),
    key("commit.queue_sends_max", Kind::Integer(1, 1_000_000)),
    key("commit.queue_bytes_max", Kind::Integer(1024, 1 << 34)),
    key("commit.hold_max", Kind::Span(SECOND, 600 * SECOND)),
    key("commit.cursor_delay", Kind::Span(0, 10 * SECOND)),
    key("retention.bodies_age_max", Kind::Span(0, 36_600 * DAY)),
    key("retention.interval", Kind::Span(SECOND, DAY)),
    key("plain.publish", Kind::Filters),
    key("plain.subscribe", Kind::Filters),
    key("audit.enabled", Kind::Bool),
    key("audit.bytes_max", Kind::Integer(65_536, 1 << 40)),
    key("audit.files_max", Kind::Integer(2, 1000)),
    key("log.format", Kind::Choice(&["human", "json"])),
    key("log.filter", Kind::Text),
];

/// The keys of one issuer.
pub(crate) const ISSUER_KEYS: &[Key] = &[
    key("name", Kind::Text),
    key("algorithm", Kind::Choice(&["EdDSA", "ES256", "RS256"])),
    key("key_file", Kind::File),
    key("jwks_file", Kind::File),
];

/// The key of that path.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The name of `candidates` that is most like `name`, if one is like enough to be meant.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The key that a variable means whose name lacks underscores: `GODWIT_LISTEN_MQTT`. `None`: it may
/// well be somebody else's (`GODWIT_HOME`, or what Kubernetes sets for a service of that name).
pub(crate) fn misspelt(variable: &str) -> Option<&'static str> {
    /// So like that nobody else's name is.
    const ALIKE: f64 = 0.95;
    let rest = variable.strip_prefix("GODWIT_")?.to_ascii_lowercase();
    let words: Vec<_> = rest.split('_').filter(|word| !word.is_empty()).collect();
    let flat = words.join("_");
    KEYS.iter()
        .map(|key| (strsim::jaro_winkler(&flat, &key.path.replace('.', "_")), key.path))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, path)| path)
}

impl Kind {
    /// What is allowed, to follow "must be".
    pub(crate) fn allowed(self) -> String {
        match self {
            Self::Choice(words) => {
                let quoted: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
                quoted.join(" or ")
            }
            Self::Address => "an address as in \"127.0.0.1:1883\", or \"\" for off".to_owned(),
            Self::File => "a file name in quotes".to_owned(),
            Self::Text | Self::Secret => "a text in quotes".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Integer(min, max) => format!("a whole number from {min} to {max}"),
            Self::Span(min, max) => format!(
                "a duration from \"{}\" to \"{}\"",
                span::format(Duration::from_millis(min)),
                span::format(Duration::from_millis(max))
            ),
            Self::Origins => "a list of origins as in [\"https://chat.example.org\"], on loopback also with any port, as in \
                 [\"http://localhost:*\"]"
                .to_owned(),
            Self::Users => "a list of user ids as in [\"alice\"]".to_owned(),
            Self::Filters => {
                "a list of topic filters as in [\"sensors/#\"], none of them starting with $"
                    .to_owned()
            }
            Self::Issuers => "a list of tables, written as [[auth.issuers]]".to_owned(),
        }
    }

    /// Whether `value` is allowed. (The inside of issuers is checked by [`super::layers`].)
    pub(crate) fn allows(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Choice(words), Value::String(text)) => words.contains(&text.as_str()),
            (Self::Address, Value::String(text)) => {
                text.is_empty() || text.parse::<SocketAddr>().is_ok()
            }
            (Self::File | Self::Secret, Value::String(_)) => true,
            (Self::Text, Value::String(text)) => !text.is_empty(),
            (Self::Bool, Value::Boolean(_)) => true,
            (Self::Integer(min, max), Value::Integer(number)) => {
                u64::try_from(*number).is_ok_and(|number| (min..=max).contains(&number))
            }
            (Self::Span(min, max), Value::String(text)) => span::parse(text)
                .is_ok_and(|span| (u128::from(min)..=u128::from(max)).contains(&span.as_millis())),
            (Self::Origins, Value::Array(items)) => items.iter().all(is_origin),
            (Self::Users, Value::Array(items)) => items.iter().all(is_user),
            (Self::Filters, Value::Array(items)) => items.iter().all(|item| {
                item.as_str().is_some_and(|f| filter::is_valid(f) && !f.starts_with('$'))
            }),
            (Self::Issuers, Value::Array(items)) => items.iter().all(Value::is_table),
            _ => false,
        }
    }

    /// Reads a value from the environment or the command line. `None`: not readable as this kind.
    pub(crate) fn read(self, text: &str) -> Option<Value> {
        match self {
            Self::Choice(_)
            | Self::Address
            | Self::File
            | Self::Text
            | Self::Secret
            | Self::Span(..) => Some(Value::String(text.to_owned())),
            Self::Bool => text.trim().parse().ok().map(Value::Boolean),
            Self::Integer(..) => text.trim().parse().ok().map(Value::Integer),
            Self::Origins | Self::Users | Self::Filters if !text.trim_start().starts_with('[') => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
            }
            Self::Origins | Self::Users | Self::Filters | Self::Issuers => {
                let table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
                table.get("value").cloned()
            }
        }
    }
}

/// Whose pages may be let in whatever their port: on a developer's machine each tool has its own.
pub(crate) const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

fn is_user(value: &Value) -> bool {
    value.as_str().is_some_and(|text| UserId::new(text).is_ok())
}

/// `scheme://host[:port]`, without a path: what a browser sends as Origin.
fn is_origin(value: &Value) -> bool {
    let rest = value
        .as_str()
        .and_then(|text| text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")));
    rest.is_some_and(|rest| {
        let host = rest.strip_suffix(":*").filter(|host| LOOPBACK_HOSTS.contains(host));
        let host = host.unwrap_or(rest);
        !host.is_empty() && !host.contains(['/', '?', '#', '*', ' '])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names_what_was_meant() {
        let all = || KEYS.iter().map(|key| key.path);
        for (typed, meant) in [
            ("listen.mqqt", "listen.mqtt"),
            ("limits.body_byte_max", "limits.body_bytes_max"),
            ("limit.body_bytes_max", "limits.body_bytes_max"),
            ("store.knd", "store.kind"),
        ] {
            assert_eq!(nearest(typed, all()), Some(meant), "{typed}");
        }
        assert_eq!(nearest("zzz", all()), None);
    }

    #[test]
    fn values_from_text() {
        let text = |t: &str| Value::String(t.to_owned());
        assert_eq!(Kind::Integer(0, 9).read(" 7 "), Some(Value::Integer(7)));
        assert_eq!(Kind::Integer(0, 9).read("x"), None);
        assert_eq!(Kind::Bool.read(" true"), Some(Value::Boolean(true)));
        assert_eq!(Kind::Bool.read("yes"), None);
        let list = Some(Value::Array(vec![text("a/#"), text("b")]));
        assert_eq!(Kind::Filters.read("a/#, b"), list);
        assert_eq!(Kind::Filters.read("[\"a/#\", \"b\"]"), list);
        assert_eq!(Kind::Filters.read(""), Some(Value::Array(vec![])));
        let issuers = Kind::Issuers.read("[{name = \"x\"}]");
        assert!(issuers.is_some_and(|value| Kind::Issuers.allows(&value)));
    }

    #[test]
    fn what_is_allowed() {
        let text = |t: &str| Value::String(t.to_owned());
        let list = |t: &str| Value::Array(vec![text(t)]);
        for (kind, value, expected) in [
            (Kind::Address, text("127.0.0.1:0"), true),
            (Kind::Address, text("[::1]:1883"), true),
            (Kind::Address, text("localhost:1883"), false),
            (Kind::Address, text("1883"), false),
            (Kind::Integer(1, 5), Value::Integer(5), true),
            (Kind::Integer(1, 5), Value::Integer(6), false),
            (Kind::Integer(0, 5), Value::Integer(-1), false),
            (Kind::Integer(0, 5), text("5"), false),
            (Kind::Span(1000, 5000), text("5s"), true),
            (Kind::Span(1000, 5000), text("5001ms"), false),
            (Kind::Bool, Value::Boolean(false), true),
            (Kind::Bool, text("true"), false),
            (Kind::Choice(&["a", "b"]), text("c"), false),
            (Kind::Filters, list("a/+/#"), true),
            (Kind::Filters, list("$SYS/#"), false),
            (Kind::Filters, list("a/#/b"), false),
            (Kind::Users, list("team.lead"), true),
            (Kind::Users, list("team:lead"), false),
            (Kind::Origins, list("https://a.example"), true),
            (Kind::Origins, list("https://a.example/"), false),
            (Kind::Origins, list("*"), false),
            (Kind::Origins, list("http://localhost:*"), true),
            (Kind::Origins, list("https://a.example:*"), false),
        ] {
            assert_eq!(kind.allows(&value), expected, "{kind:?} {value}");
        }
    }
}
