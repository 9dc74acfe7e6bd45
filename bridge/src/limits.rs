//! The bridge's bounds, each with its unit, its reason and what happens when full.

use std::time::Duration;

/// Conversations whose members are cached, per shard of [`SHARDS`]. A member takes about 40 bytes,
/// so direct conversations are about 300 bytes each: 100,000 of them are 30 MiB. When a shard is
/// full, an eighth of it is forgotten and read again when needed.
pub(crate) const CACHED_CONVERSATIONS_MAX: usize = 100_000 / SHARDS;

/// Independent locks of the maps that every message touches.
pub(crate) const SHARDS: usize = 16;

/// Announcements that wait while a conversation's members are read. Beyond it they are dropped,
/// and the gap is read from the log.
pub(crate) const WAITING_ANNOUNCEMENTS_MAX: usize = 1024;

/// Reads of logs for lagging devices at the same time, over all devices, so that a reconnect storm
/// leaves the store's connections to the commits.
pub(crate) const PULLS_MAX: usize = 16;

/// Entries of one read for a lagging device.
pub(crate) const PULL_ENTRIES_MAX: usize = 100;

/// Conversations named by one query for what a device has missed.
pub(crate) const BEHIND_PAGE: u32 = 500;

/// Fates that wait for room on `a`, per device. Beyond it the device is cut: it reads too slowly.
pub(crate) const FATES_MAX: usize = 1024;

/// Fates in one message on `a`: about 100 bytes each.
pub(crate) const FATES_PER_MESSAGE: usize = 100;

/// Requests on `q/` under way for one device; the next is answered 0x97.
pub(crate) const QUERIES_MAX: u32 = 4;

/// Bytes of bodies in one reply: a page is one MQTT packet.
pub(crate) const REPLY_BYTES_MAX: usize = 192 * 1024;

/// Cursors that wait to be stored; beyond it they are stored at once. About 100 bytes each.
pub(crate) const CURSORS_DIRTY_MAX: usize = 50_000;

/// Cursors in one statement.
pub(crate) const CURSORS_PER_STATEMENT: usize = 1000;

/// Sessions opened or closed in one statement.
pub(crate) const SESSIONS_PER_STATEMENT: usize = 256;

/// Connects and closes that wait for the store; beyond it a connect is answered 0x97.
pub(crate) const SESSIONS_WAITING_MAX: usize = 20_000;

/// The first and the longest wait before the store is tried again.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(50);
/// See [`RETRY_FIRST`].
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(2);
