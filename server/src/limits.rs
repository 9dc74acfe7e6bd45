//! The bounds of the executable itself; what an operator may set is in `config/default.toml`.

use std::time::Duration;

/// Bytes of an HTTP request's body: a member list of 10,000 ids of 64 characters fits. A larger
/// one is answered 413.
pub(crate) const HTTP_BODY_BYTES_MAX: usize = 1024 * 1024;

/// HTTP connections at the same time. Further ones wait in the kernel's backlog. At about 20 KiB
/// each they are 10 MiB.
pub(crate) const HTTP_CONNECTIONS_MAX: usize = 512;

/// How long an HTTP connection may be silent before it is closed, so that a silent peer does not
/// hold a place for good. Longer than [`HTTP_REQUEST_TIME_MAX`].
pub(crate) const HTTP_SILENCE_MAX: Duration = Duration::from_secs(30);

/// How long a request may take; then it is answered 503.
pub(crate) const HTTP_REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// How long the store may take to answer for `/readyz`.
pub(crate) const READY_TIME_MAX: Duration = Duration::from_secs(1);

/// Messages of one page over REST; the bound of the core. More are clamped to it.
pub(crate) const PAGE_MESSAGES_MAX: u32 = godwit_core::limits::PAGE_ENTRIES_MAX;

/// How long `godwit dev`'s own tokens live.
pub(crate) const DEV_TOKEN_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long after the roles' own time for a shutdown the process ends at the latest.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// How often the metrics' histograms are tidied.
pub(crate) const METRICS_UPKEEP: Duration = Duration::from_secs(5);
