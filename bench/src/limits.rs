//! The bounds of the load generator, each with its unit, its reason and what happens when full.

/// Bytes read from a socket at once, into one buffer that all connections share. 64 KiB: about
/// 400 acknowledged messages of 100 bytes, more than any window asked for here.
pub(crate) const INPUT_BYTES: usize = 64 * 1024;

/// Connections served by one wait of the kernel's poll. Small enough that the sends which
/// become possible meanwhile wait for less than a millisecond.
pub(crate) const READY_MAX: usize = 128;

/// Bytes of one incoming packet or stanza. Beyond it the connection is closed as broken: every
/// peer here is held to bodies of at most 256 KiB.
pub(crate) const PACKET_BYTES_MAX: usize = 512 * 1024;

/// Sequences remembered as missing for one receiver. Beyond it later gaps are only counted, so
/// a broker that loses everything costs 1 MiB a receiver and not all memory.
pub(crate) const MISSING_MAX: usize = 65_536;

/// Unacknowledged publishes of one sender: the packet ids of MQTT. `--window` beyond it is an
/// error.
pub(crate) const WINDOW_MAX: u32 = 60_000;

/// File descriptors kept free for /proc, REST and the terminal when connections are counted
/// against `RLIMIT_NOFILE`.
pub(crate) const DESCRIPTORS_SPARE: u64 = 64;

/// The longest latency that is told apart, in nanoseconds (60 s); longer ones count as this.
pub(crate) const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// The share of the machine's time that others may use during a run before it is void.
pub(crate) const FOREIGN_SHARE_MAX: f64 = 0.05;

/// Bytes of one HTTP response's head and body. A conversation of 10,000 members with all that is
/// told of each is about 2 MiB.
pub(crate) const HTTP_BYTES_MAX: usize = 8 * 1024 * 1024;
