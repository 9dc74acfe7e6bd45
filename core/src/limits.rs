//! The bounds of the pure core, each with its unit, its reason and what happens when full.

/// Bytes of a body. 256 KiB: CONTRACT.md's default; a larger one is refused with 0x99. Larger
/// things travel by upload-then-reference.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// Members of one conversation. An add beyond it is refused. 10,000 members at about 100 bytes
/// are 1 MiB in a bridge's cache.
pub const MEMBERS_MAX: usize = 10_000;

/// Sends in one commit. 512 rows keep a Postgres statement below 2 ms (DESIGN.md: 100 rows at
/// p50 1.5 ms with two connections) and bound the memory of a batch at `BATCH_BYTES_MAX`.
pub const BATCH_SENDS_MAX: usize = 512;

/// Bytes of bodies in one commit: a batch is closed when the next body would exceed it.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Entries of one page read from a log.
pub const PAGE_ENTRIES_MAX: u32 = 100;

/// Bytes of bodies of one page read from a log; a page has always at least one entry.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Subscriptions kept for one device. A SUBSCRIBE beyond it is answered 0x97.
pub const SUBSCRIPTIONS_MAX: usize = 256;
