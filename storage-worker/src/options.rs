//! What the operator sets.

use std::time::Duration;

/// The worker's settings. The defaults are those of `config/default.toml`.
#[derive(Debug, Clone)]
pub struct Options {
    /// How often an empty outbox is looked at again.
    pub relay_interval: Duration,
    /// How often retention runs.
    pub retention_interval: Duration,
    /// Bodies older than this are removed; `None`: kept forever.
    pub bodies_kept: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            relay_interval: Duration::from_millis(250),
            retention_interval: Duration::from_secs(60),
            bodies_kept: None,
        }
    }
}
