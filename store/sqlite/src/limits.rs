//! The bounds of this crate, each with its unit, its reason and what happens when full.

use std::time::Duration;

/// Connections that read at the same time. SQLite reads from one file: more do not read faster.
/// Each holds a page cache of 2 MiB and a thread. A fifth reader waits for [`ACQUIRE`].
pub(crate) const READERS: u32 = 4;

/// How long an operation waits for its connection before the store counts as away.
pub(crate) const ACQUIRE: Duration = Duration::from_secs(5);

/// How long writes that are no commits may follow each other while a commit waits: some ten of them, for
/// they are flushed after their turn. After it the commit goes first.
pub(crate) const BURST: Duration = Duration::from_millis(5);

/// How long SQLite waits for another process's lock before the store counts as away.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// How long to wait before files that cannot be opened are tried again.
pub(crate) const REOPEN: Duration = Duration::from_secs(1);

/// Conversations whose cursors are looked at in one transaction when all are mended: some
/// milliseconds.
pub(crate) const MEND_CONVERSATIONS: u32 = 1_000;

/// Conversations in which an expired session's cursors are removed in one transaction: some 10 ms, for
/// which a commit may have to wait.
pub(crate) const SWEEP_CONVERSATIONS: u32 = 1_000;

/// Such transactions in one call of `prune`, after which the session at hand is finished and the rest
/// is left for the next call: about a second.
pub(crate) const SWEEP_STEPS_MAX: u32 = 64;

/// Pages of the write-ahead log (4 KiB each) after which SQLite copies them into the database: 16
/// MiB. Higher means fewer of these stalls, and a longer recovery after a crash.
pub(crate) const CHECKPOINT_PAGES: &str = "4000";

/// Differences of mentions that a check tells for one conversation, and mends in one statement. About
/// 100 bytes each; what is beyond is mended all the same.
pub(crate) const MENTION_DIFFERENCES_MAX: u32 = 1000;
