//! What the server may set.

use std::time::Duration;

use godwit_core::limits;

/// The bridge's settings. The defaults are those of `config/default.toml`.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes of a body; a larger one is refused with 0x99.
    pub body_bytes_max: usize,
    /// Commits under way at the same time. Each conversation always uses the same one, so its
    /// sends keep their order. SQLite has one writer: 1; Postgres: 2 to 4.
    pub commit_lanes: usize,
    /// Sends in one commit.
    pub batch_sends_max: usize,
    /// How long a commit waits for more sends; zero commits at once what is there.
    pub batch_delay: Duration,
    /// Sends that wait for a commit, over all lanes; the next is answered 0x97.
    pub queue_sends_max: usize,
    /// Bytes of bodies that wait for a commit, over all lanes; the next is answered 0x97.
    pub queue_bytes_max: usize,
    /// How long a send may wait for a store that is away. Then its PUBACK stays out for good and
    /// the connection closes, so that the device sends again.
    pub hold_max: Duration,
    /// How long a confirmed delivery may wait until its cursor is stored. After a crash a device
    /// gets again what it confirmed within this time.
    pub cursor_delay: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            body_bytes_max: limits::BODY_BYTES_MAX,
            commit_lanes: 2,
            batch_sends_max: limits::BATCH_SENDS_MAX,
            batch_delay: Duration::ZERO,
            queue_sends_max: 20_000,
            queue_bytes_max: 64 * 1024 * 1024,
            hold_max: Duration::from_secs(30),
            cursor_delay: Duration::from_millis(100),
        }
    }
}
