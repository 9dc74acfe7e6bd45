//! The bounds of this crate, each with its unit, its reason and what happens when full.

use std::time::Duration;

/// Connections to Postgres of one process, unless configured. Two cores of Postgres are busy with
/// four; the rest wait for locks and disks. Each costs the server about 5 MiB. Half of them read, a
/// quarter changes conversations, a quarter does everything else, so that none of these starves the
/// others. An operation beyond them waits half of [`OPERATION`].
pub(crate) const CONNECTIONS: u32 = 16;

/// Connections that commit, besides [`CONNECTIONS`]: two keep two cores of Postgres busy with
/// batches of a hundred (DESIGN.md), two more wait for the disk. A fifth batch waits for one of
/// them, at most [`OPERATION`].
pub(crate) const WRITERS: usize = 4;

/// The longest that an operation takes, unless configured, before the store counts as away: half
/// of it for a connection, half of it for each statement.
pub(crate) const OPERATION: Duration = Duration::from_secs(10);

/// A connection that was not used for so long is asked for a sign of life before it is used (one round
/// trip, and only when there is little to do): Postgres takes longer than this to come back, so a
/// restart or a crash of it that is over costs nobody an error.
pub(crate) const QUIET: Duration = Duration::from_millis(200);

/// Conversations whose cursors are looked at in one transaction when all are mended: some
/// milliseconds.
pub(crate) const MEND_CONVERSATIONS: i64 = 1_000;

/// Conversations in which an expired session's cursors are removed in one transaction: some 10 ms.
pub(crate) const SWEEP_CONVERSATIONS: i64 = 1_000;

/// Such transactions in one call of `prune`, after which the session at hand is finished and the rest
/// is left for the next call: about a second.
pub(crate) const SWEEP_STEPS_MAX: u32 = 64;

/// Seconds until Postgres asks whether a silent peer is there, seconds between such questions, and how
/// many stay unanswered: locks of a machine that vanished fall after 11 s.
pub(crate) const KEEPALIVE: [&str; 3] = ["5", "3", "2"];

/// The oldest Postgres that is supported, as `server_version_num`.
pub(crate) const SERVER_VERSION_MIN: i32 = 150_000;

/// Conversations that a process remembers after its own commits, about 250 bytes each with two
/// senders: 16 MiB. When full, all are forgotten and read again.
pub(crate) const RECENT_CONVERSATIONS_MAX: usize = 65_536;

/// Senders that are remembered of one conversation, 32 bytes each. They are looked through one by
/// one. When full, all but the newest are forgotten and read again.
pub(crate) const RECENT_SENDERS_MAX: usize = 64;

/// The longest that one part of a check of inboxes takes, besides waiting for a connection: some
/// million entries a conversation. What takes longer counts as away: ask for fewer conversations.
pub(crate) const CHECK: Duration = Duration::from_mins(10);

/// Differences of one kind that a part of a check tells, about 200 bytes each. What is beyond is
/// mended untold, or told when the first ones were mended.
pub(crate) const DIFFERENCES_MAX: i64 = 1_000;
