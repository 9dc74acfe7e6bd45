//! The defaults as values; a test holds them equal to `config/default.toml`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{
    Accounts, Adding, Audit, Auth, Commit, Limits, Listen, Log, LogFormat, Policy, Presence,
    Receipts, Retention, Server, Store, StoreKind,
};
use crate::secret::Secret;

fn local(port: u16) -> Option<SocketAddr> {
    Some(SocketAddr::from(([127, 0, 0, 1], port)))
}

impl Default for Server {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            worker_threads: 0,
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            mqtt: local(1883),
            mqtts: None,
            ws: local(8083),
            wss: None,
            http: local(8080),
            https: None,
            probes: None,
            tls_cert_file: PathBuf::new(),
            tls_key_file: PathBuf::new(),
            ws_origins: Vec::new(),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            kind: StoreKind::Sqlite,
            sqlite_file: PathBuf::new(),
            postgres_url: Secret::default(),
            postgres_connections_max: 16,
            postgres_timeout: Duration::from_secs(10),
            postgres_accept_data_loss: false,
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            embedded_key_file: PathBuf::new(),
            admin_token_file: PathBuf::new(),
            leeway: Duration::ZERO,
            token_age_max: Duration::from_secs(400 * 86_400),
            issuers: Vec::new(),
        }
    }
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            enabled: false,
            signup: false,
            token_ttl: Duration::from_secs(24 * 3600),
            password_chars_min: 8,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 256 * 1024,
            packet_bytes_max: 1024 * 1024,
            receive_maximum: 64,
            inflight_default: 20,
            inflight_max: 128,
            queue_deliveries_max: 256,
            queue_bytes_max: 1024 * 1024,
            offline_deliveries_max: 1000,
            offline_bytes_max: 1024 * 1024,
            offline_per_user_bytes_max: 8 * 1024 * 1024,
            offline_all_bytes_max: 256 * 1024 * 1024,
            devices_per_user_max: 64,
            publishes_per_s: 10_000,
            publish_bytes_per_s: 64 * 1024 * 1024,
            keep_alive_max: Duration::from_secs(3600),
            session_expiry_max: Duration::from_secs(30 * 86_400),
            connections_max: 100_000,
            connections_per_address_max: 20_000,
            connects_per_s_per_address: 10_000,
            remote_connections_per_address_max: 2000,
            remote_connects_per_s_per_address: 200,
            handshakes_max: 1024,
            connect_timeout: Duration::from_secs(5),
            write_stall_max: Duration::from_secs(30),
            retained_max: 10_000,
            retained_bytes_max: 64 * 1024 * 1024,
            retained_per_user_max: 1000,
            retained_per_user_bytes_max: 8 * 1024 * 1024,
            subscriptions_max: 256,
            topic_alias_max: 16,
            user_sends_per_s: 10_000,
            conversation_sends_per_s: 10_000,
            large_group_members: 256,
            large_group_sends_per_s: 100,
            requests_per_s: 10_000,
            http_connections_max: 2048,
            http_connections_per_address_max: 1024,
            remote_http_connections_per_address_max: 256,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            edit_window: 24 * HOUR,
            delete_window: 48 * HOUR,
            add_to_groups: Adding::Anyone,
            strangers_per_day: 250,
            group_members_max: 256,
            large_group_users: Vec::new(),
        }
    }
}

impl Default for Receipts {
    fn default() -> Self {
        Self { delay: Duration::from_millis(200) }
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            offline_delay_min: Duration::from_secs(10),
            offline_delay_max: Duration::from_secs(20),
        }
    }
}

impl Default for Commit {
    fn default() -> Self {
        Self {
            batch_sends_max: 512,
            delay_max: Duration::ZERO,
            lanes: 2,
            queue_sends_max: 20_000,
            queue_bytes_max: 64 * 1024 * 1024,
            hold_max: Duration::from_secs(30),
            cursor_delay: Duration::from_millis(100),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { bodies_age_max: Duration::ZERO, interval: Duration::from_secs(60) }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self { enabled: true, bytes_max: 64 * 1024 * 1024, files_max: 8 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Human, filter: "info".to_owned() }
    }
}
