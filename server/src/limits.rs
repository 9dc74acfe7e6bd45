//! The bounds of the executable itself; what an operator may set is in `config/default.toml`.

use std::num::NonZeroU32;
use std::time::Duration;

/// Keys of the embedded issuer: one signs, the others wait for their last tokens to expire. A file
/// with more is refused.
pub(crate) const EMBEDDED_KEYS_MAX: usize = 8;

/// Tokens of operators. Each is a digest at every request that shows none of them (1 us). A file with
/// more is refused.
pub(crate) const ADMIN_TOKENS_MAX: usize = 64;

/// Lines that wait for the audit trail's thread, connections at most half of them: about 250 bytes
/// each, 2 MiB. Beyond it they are lost and counted.
pub(crate) const AUDIT_QUEUE_MAX: usize = 8192;

/// Refused connections and requests in a second that are written to the audit trail one by one; of
/// more, their number. An attacker fills 864,000 lines a day at the most.
pub(crate) const AUDIT_REFUSALS_PER_S: u32 = 10;

/// At most one line of log in so long a time about an audit trail that cannot be written.
pub(crate) const AUDIT_COMPLAINT_EVERY: Duration = Duration::from_secs(10);

/// Characters of a request's path and query in the audit trail and the log. The rest is left out.
pub(crate) const AUDIT_PATH_CHARS_MAX: usize = 256;

/// Refused REST requests in a second that are logged, with a burst of as many. More are counted in
/// the metrics alone.
pub(crate) const REFUSALS_LOGGED_PER_S: u32 = 20;

/// Bytes of an HTTP request's body: a member list of 10,000 ids of 64 characters fits. A larger
/// one is answered 413.
pub(crate) const HTTP_BODY_BYTES_MAX: usize = 1024 * 1024;

/// HTTP connections at the same time. Further ones wait in the kernel's backlog. At about 20 KiB
/// each they are 10 MiB.
pub(crate) const HTTP_CONNECTIONS_MAX: usize = 512;

/// Characters of an idempotency key.
pub(crate) const IDEMPOTENCY_KEY_CHARS_MAX: usize = 64;

/// Callers, addresses and users whose rates are remembered, of each kind. At about 64 bytes each
/// they are 4 MiB; beyond it some may burst once more.
pub(crate) const RATE_KEYS_MAX: usize = 65_536;

/// One address may try so many passwords at once, and then one in so long: 10 in a second, for many
/// users may stand behind one address.
pub(crate) const LOGIN_ADDRESS_BURST: NonZeroU32 = at_least_one(100);
/// See [`LOGIN_ADDRESS_BURST`].
pub(crate) const LOGIN_ADDRESS_INTERVAL: Duration = Duration::from_millis(100);

/// A user's password may be tried so many times at once from one address, and then once in so long: 600
/// guesses an hour. What was right is given back. So whoever guesses at one place locks nobody out at
/// another.
pub(crate) const LOGIN_USER_BURST: NonZeroU32 = at_least_one(10);
/// See [`LOGIN_USER_BURST`].
pub(crate) const LOGIN_USER_INTERVAL: Duration = Duration::from_secs(6);

/// A user's password may be wrong so many times at once from all addresses together, and then once in
/// so long: guessing from many addresses is no faster than 600 an hour. Beyond it only addresses are
/// heard from which the password was right before.
pub(crate) const LOGIN_WRONG_BURST: NonZeroU32 = at_least_one(100);
/// See [`LOGIN_WRONG_BURST`].
pub(crate) const LOGIN_WRONG_INTERVAL: Duration = Duration::from_secs(6);

/// Places (a user and an address) that are remembered because the password was right there. At about 100
/// bytes each they are 3 MiB; beyond it the oldest are forgotten.
pub(crate) const LOGIN_PLACES_MAX: usize = 32_768;

/// Passwords hashed at the same time. Each takes a core for some 20 ms, and 19 MiB that are kept for the
/// next one: 38 MiB in all, from the first login on.
pub(crate) const PASSWORD_HASHES_MAX: usize = 2;

/// Passwords that wait to be hashed: about half a second. Further ones are answered 429.
pub(crate) const PASSWORD_QUEUE_MAX: usize = 64;

/// Bytes of a password. A longer one is refused.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;

/// Bytes of a preview's body in an inbox over REST, so that a page of 100 stays below 256 KiB;
/// longer ones are cut.
pub(crate) const PREVIEW_BYTES_MAX: usize = 1024;

/// How long an HTTP connection may be silent before it is closed, so that a silent peer does not
/// hold a place for good. Longer than [`HTTP_REQUEST_TIME_MAX`].
pub(crate) const HTTP_SILENCE_MAX: Duration = Duration::from_secs(30);

/// How long a request may take; then it is answered 503.
pub(crate) const HTTP_REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// How long the store may take to answer for `/readyz`.
pub(crate) const READY_TIME_MAX: Duration = Duration::from_secs(1);

/// Items of one page over REST, of every list; the core's bound for pages of a log and of an inbox.
/// More are clamped to it.
pub(crate) const PAGE_ITEMS_MAX: u32 = godwit_core::limits::PAGE_ENTRIES_MAX;

/// How long `godwit dev`'s own tokens live.
pub(crate) const DEV_TOKEN_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long after the roles' own time for a shutdown the process ends at the latest.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// How often the metrics' histograms are tidied, and the process is looked at.
pub(crate) const METRICS_UPKEEP: Duration = Duration::from_secs(5);

const fn at_least_one(count: u32) -> NonZeroU32 {
    match NonZeroU32::new(count) {
        Some(count) => count,
        None => NonZeroU32::MIN,
    }
}

/// How often revocations are looked for: what another process has revoked is in force here after half
/// a second at the latest, as long as the store answers.
pub(crate) const REVOCATIONS_POLL: Duration = Duration::from_millis(500);

/// Revocations of one page, and devices forgotten in one step: about 200 bytes each.
pub(crate) const REVOCATIONS_PAGE: u32 = 1000;

/// How often devices are looked for that were revoked, never connected, and can be forgotten.
pub(crate) const REVOCATIONS_FORGET: Duration = Duration::from_secs(600);
