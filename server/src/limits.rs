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

/// Bytes of lines of log that wait for standard error, some 5,000 lines; twice that while some are being
/// written. Beyond it lines are lost and counted: nobody who logs waits.
pub(crate) const LOG_QUEUE_BYTES_MAX: usize = 1024 * 1024;

/// How long the end of the process waits for standard error to take the last lines.
pub(crate) const LOG_FLUSH_MAX: Duration = Duration::from_secs(1);

/// Characters of a request's path and query in the audit trail and the log. The rest is left out.
pub(crate) const AUDIT_PATH_CHARS_MAX: usize = 256;

/// Refused REST requests in a second that are logged, with a burst of as many. More are counted in
/// the metrics alone.
pub(crate) const REFUSALS_LOGGED_PER_S: u32 = 20;

/// Bytes of an HTTP request's body: a member list of 10,000 ids of 64 characters fits. A larger
/// one is answered 413.
pub(crate) const HTTP_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of the body of a request that shows no token: a login fits. A larger one is answered 413.
/// With all places taken they are 32 MiB.
pub(crate) const HTTP_STRANGERS_BODY_BYTES_MAX: usize = 64 * 1024;

/// So many HTTP connections share a place in which requests are read, worked on and answered: by
/// default 512 places, at about 20 KiB each 10 MiB. The others are silent, or wait in line.
pub(crate) const HTTP_CONNECTIONS_PER_PLACE: usize = 4;

/// An address has at most this fraction of the places: half.
pub(crate) const HTTP_SHARES: usize = 2;

/// How long a connection may keep the server waiting (for a header, a body, an answer to be taken, the
/// next request) while others are in line; then it is closed and they come.
pub(crate) const HTTP_PATIENCE: Duration = Duration::from_millis(250);

/// How long a request's header may take, and how long a connection may be idle.
pub(crate) const HTTP_HEADER_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a peer may take no byte of its answer.
pub(crate) const HTTP_STALL_MAX: Duration = Duration::from_secs(10);

/// How long a connection may be silent that has the last descriptor.
pub(crate) const HTTP_SCARCE_TIME_MAX: Duration = Duration::from_secs(1);

/// Bytes of a request's header, and of answers that wait to be written beside the one that is being
/// written: pipelined requests are not read beyond it. A token of 8 KiB fits. Beyond it: 431.
pub(crate) const HTTP_BUFFER_BYTES: usize = 32 * 1024;

/// Bytes of answers in a second to one device, and of documents to one address that shows no token, and
/// at once: 64 MiB, as `limits.publish_bytes_per_s` is for one connection of MQTT. Beyond it requests
/// are answered 429.
pub(crate) const HTTP_ANSWER_BYTES_PER_S: u32 = 64 * 1024 * 1024;

/// Requests of `/livez`, `/readyz` and `/metrics` in a second from one address, and at once: room for many
/// probes behind one address, and less than a third of a core for the metrics. Beyond it: 429.
pub(crate) const PROBES_PER_S: u32 = 400;

/// How long an address waits for a refusal for being too fast, with which its connection ends: so it does not
/// come again at once, and all its places together are refused a thousand times in a second.
pub(crate) const HTTP_THROTTLED_PAUSE: Duration = Duration::from_millis(250);

/// Pause after an accept that failed for want of descriptors when the spare one is lent.
pub(crate) const HTTP_ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections of the listener that is for probes alone.
pub(crate) const PROBES_CONNECTIONS_MAX: usize = 64;

/// Descriptors that are for all but MQTT's and HTTP's connections: the store, its files, the
/// runtime's, listeners, logs.
pub(crate) const DESCRIPTORS_RESERVED: usize = 64;

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

/// A device from which the password was right at its address has tries of its own, right ones counted
/// too, for each is work: so many at once, and then one in [`LOGIN_USER_INTERVAL`]. Guesses of a neighbour
/// behind the same address do not lock it out.
pub(crate) const LOGIN_DEVICE_BURST: NonZeroU32 = at_least_one(20);

/// A user's password may be wrong so many times at once from all addresses together, and then once in
/// so long: guessing from many addresses is no faster than 600 an hour. Beyond it only addresses are
/// heard from which the password was right before.
pub(crate) const LOGIN_WRONG_BURST: NonZeroU32 = at_least_one(100);
/// See [`LOGIN_WRONG_BURST`].
pub(crate) const LOGIN_WRONG_INTERVAL: Duration = Duration::from_secs(6);

/// Places (a user's device and an address) that are remembered because the password was right there. At
/// about 200 bytes each they are 6 MiB; beyond it the oldest are forgotten.
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

/// How long a request may take; then it is answered 503.
pub(crate) const HTTP_REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// How long the store may take to answer for `/readyz`.
pub(crate) const READY_TIME_MAX: Duration = Duration::from_secs(1);

/// How long a commit under way may not have moved before `/readyz` says no. A disk that takes so long
/// for one flush is not ready.
pub(crate) const COMMIT_STALL_MAX: Duration = Duration::from_secs(3);

/// How long a failed commit makes `/readyz` say no, when none follows. Then a probe decides.
pub(crate) const COMMIT_FAILURE_KEPT: Duration = Duration::from_secs(5);

/// How long an answer about the store is good for `/readyz`: nobody can make it write more often.
pub(crate) const READY_KEPT: Duration = Duration::from_secs(1);

/// How often the holder of a store's lease writes that it lives.
pub(crate) const LEASE_BEAT: Duration = Duration::from_secs(2);

/// How often a lease that is held by another is looked at.
pub(crate) const LEASE_LOOK: Duration = Duration::from_millis(200);

/// How long a start waits for a lease whose holder shows no sign of life: locks of a machine that has
/// vanished fall after 11 s.
pub(crate) const LEASE_WAIT_MAX: Duration = Duration::from_secs(15);

/// Beats in a row whose failure is said.
pub(crate) const LEASE_BEATS_MAX: u32 = 3;

/// The first and the longest wait before a store that is not there yet is tried again at a start.
pub(crate) const START_RETRY: (Duration, Duration) =
    (Duration::from_millis(200), Duration::from_secs(2));

/// How long a start waits for all cursors to be compared with their logs; the rest is done beside
/// serving.
pub(crate) const MEND_WAIT_MAX: Duration = Duration::from_secs(2);

/// Items of one page over REST, of every list; the core's bound for pages of a log and of an inbox.
/// A request for more is refused.
pub(crate) const PAGE_ITEMS_MAX: u32 = godwit_core::limits::PAGE_ENTRIES_MAX;

/// How long `godwit dev`'s own tokens live.
pub(crate) const DEV_TOKEN_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long after the roles' own time for a shutdown the process ends at the latest.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// How often the metrics' histograms are tidied, and the process is looked at.
pub(crate) const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// How often it is looked whether a crowd has left, so that its memory is given back: at most so often
/// threads wait some milliseconds for the allocator.
pub(crate) const MEMORY_LOOK: Duration = Duration::from_secs(5);

/// Looks after a crowd has left at which memory may be given back again: 80 seconds, after which all
/// that is remembered of it for a while is forgotten.
pub(crate) const MEMORY_LOOKS_AFTER: u32 = 16;

/// Connections that make a crowd. Fewer leave some megabytes at most.
pub(crate) const CROWD_MIN: usize = 500;

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

/// How long a start waits for the outbox that an earlier process has left. It moves thousands of events
/// in a second; what is left after that is moved while clients are served already.
pub(crate) const OUTBOX_CLEARED_MAX: Duration = Duration::from_secs(5);
