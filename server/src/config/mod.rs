//! The configuration: what may be set, where values come from, what is refused.
//!
//! Read it in this order: [`Config`] here; [`keys`], the table of all keys; [`layers`], how default,
//! file, environment and command line lie over each other; [`load()`]; [`relations`], what must hold
//! between values; [`print`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::Deserializer;

mod defaults;
pub(crate) mod keys;
pub(crate) mod layers;
mod load;
pub(crate) mod print;
mod relations;
pub(crate) mod span;
#[cfg(test)]
mod tests;

pub(crate) use load::{Loaded, Sources, load};

use crate::secret::Secret;

/// The complete, commented default.
pub(crate) const DEFAULT: &str = include_str!("../../../config/default.toml");

/// The configuration in force. Each field is described in `config/default.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) listen: Listen,
    pub(crate) http: Http,
    pub(crate) store: Store,
    pub(crate) auth: Auth,
    pub(crate) accounts: Accounts,
    pub(crate) limits: Limits,
    pub(crate) policy: Policy,
    pub(crate) receipts: Receipts,
    pub(crate) presence: Presence,
    pub(crate) commit: Commit,
    pub(crate) retention: Retention,
    pub(crate) plain: Plain,
    pub(crate) audit: Audit,
    pub(crate) log: Log,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Server {
    pub(crate) data_dir: PathBuf,
    pub(crate) worker_threads: usize,
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) shutdown_timeout: Duration,
}

/// `[listen]`; `None`: off.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Listen {
    #[serde(deserialize_with = "address")]
    pub(crate) mqtt: Option<SocketAddr>,
    #[serde(deserialize_with = "address")]
    pub(crate) mqtts: Option<SocketAddr>,
    #[serde(deserialize_with = "address")]
    pub(crate) ws: Option<SocketAddr>,
    #[serde(deserialize_with = "address")]
    pub(crate) wss: Option<SocketAddr>,
    #[serde(deserialize_with = "address")]
    pub(crate) http: Option<SocketAddr>,
    #[serde(deserialize_with = "address")]
    pub(crate) https: Option<SocketAddr>,
    #[serde(deserialize_with = "address")]
    pub(crate) probes: Option<SocketAddr>,
    pub(crate) tls_cert_file: PathBuf,
    pub(crate) tls_key_file: PathBuf,
    pub(crate) ws_origins: Vec<String>,
}

impl Listen {
    /// All listeners with their names, in the order in which they are bound and shown.
    pub(crate) fn all(&self) -> [(&'static str, Option<SocketAddr>); 7] {
        [
            ("mqtt", self.mqtt),
            ("mqtts", self.mqtts),
            ("ws", self.ws),
            ("wss", self.wss),
            ("http", self.http),
            ("https", self.https),
            ("probes", self.probes),
        ]
    }
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub(crate) struct Http {
    pub(crate) cors_origins: Vec<String>,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Store {
    pub(crate) kind: StoreKind,
    pub(crate) sqlite_file: PathBuf,
    pub(crate) postgres_url: Secret,
    pub(crate) postgres_connections_max: u32,
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) postgres_timeout: Duration,
    pub(crate) postgres_accept_data_loss: bool,
}

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StoreKind {
    Sqlite,
    Postgres,
}

/// `[auth]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Auth {
    pub(crate) embedded_key_file: PathBuf,
    pub(crate) admin_token_file: PathBuf,
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) leeway: Duration,
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) token_age_max: Duration,
    pub(crate) issuers: Vec<Issuer>,
}

/// `[[auth.issuers]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Issuer {
    pub(crate) name: String,
    pub(crate) algorithm: Algorithm,
    #[serde(default)]
    pub(crate) key_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) jwks_file: Option<PathBuf>,
}

/// What an outside issuer may sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Algorithm {
    #[serde(rename = "EdDSA")]
    EdDsa,
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "RS256")]
    Rs256,
}

/// `[accounts]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Accounts {
    pub(crate) enabled: bool,
    pub(crate) signup: bool,
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) token_ttl: Duration,
    pub(crate) password_chars_min: usize,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Limits {
    pub(crate) body_bytes_max: usize,
    pub(crate) packet_bytes_max: u32,
    pub(crate) receive_maximum: u16,
    pub(crate) inflight_default: u16,
    pub(crate) inflight_max: u16,
    pub(crate) queue_deliveries_max: usize,
    pub(crate) queue_bytes_max: usize,
    pub(crate) offline_deliveries_max: usize,
    pub(crate) offline_bytes_max: usize,
    pub(crate) offline_per_user_bytes_max: usize,
    pub(crate) offline_all_bytes_max: usize,
    pub(crate) devices_per_user_max: usize,
    pub(crate) publishes_per_s: u32,
    pub(crate) publish_bytes_per_s: u32,
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) keep_alive_max: Duration,
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) session_expiry_max: Duration,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_address_max: usize,
    pub(crate) connects_per_s_per_address: u32,
    pub(crate) remote_connections_per_address_max: usize,
    pub(crate) remote_connects_per_s_per_address: u32,
    pub(crate) handshakes_max: usize,
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) connect_timeout: Duration,
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) write_stall_max: Duration,
    pub(crate) retained_max: usize,
    pub(crate) retained_bytes_max: usize,
    pub(crate) retained_per_user_max: usize,
    pub(crate) retained_per_user_bytes_max: usize,
    pub(crate) subscriptions_max: usize,
    pub(crate) topic_alias_max: u16,
    pub(crate) user_sends_per_s: u32,
    pub(crate) conversation_sends_per_s: u32,
    pub(crate) large_group_members: usize,
    pub(crate) large_group_sends_per_s: u32,
    pub(crate) requests_per_s: u32,
    pub(crate) http_connections_max: usize,
    pub(crate) http_connections_per_address_max: usize,
    pub(crate) remote_http_connections_per_address_max: usize,
}

/// `[policy]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Policy {
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) edit_window: Duration,
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) delete_window: Duration,
    pub(crate) add_to_groups: Adding,
    pub(crate) strangers_per_day: u32,
    pub(crate) group_members_max: usize,
    pub(crate) large_group_users: Vec<String>,
}

/// Whom users may add to groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Adding {
    /// Anyone.
    Anyone,
    /// Those who have answered them.
    Contacts,
    /// Those who accept.
    Invitation,
}

/// `[receipts]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Receipts {
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) delay: Duration,
}

/// `[presence]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Presence {
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) offline_delay_min: Duration,
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) offline_delay_max: Duration,
}

/// `[commit]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Commit {
    pub(crate) batch_sends_max: usize,
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) delay_max: Duration,
    pub(crate) lanes: usize,
    pub(crate) queue_sends_max: usize,
    pub(crate) queue_bytes_max: usize,
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) hold_max: Duration,
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) cursor_delay: Duration,
}

/// `[retention]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Retention {
    /// Zero: forever.
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) bodies_age_max: Duration,
    #[serde(deserialize_with = "span::deserialize")]
    pub(crate) interval: Duration,
}

/// `[plain]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub(crate) struct Plain {
    pub(crate) publish: Vec<String>,
    pub(crate) subscribe: Vec<String>,
}

/// `[audit]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Audit {
    pub(crate) enabled: bool,
    pub(crate) bytes_max: u64,
    pub(crate) files_max: u32,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    pub(crate) filter: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Human,
    Json,
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(serde::de::Error::custom)
}
