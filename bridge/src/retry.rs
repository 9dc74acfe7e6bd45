//! What to do when the store fails: wait longer each time, and say it once in a while.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use godwit_core::store::Error;

use crate::{limits, metrics};

/// How long a device should wait that asked for too much at once.
pub(crate) const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Waits that double, with a bound.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(limits::RETRY_FIRST)
    }

    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (self.0 * 2).min(limits::RETRY_MAX);
        wait
    }
}

/// Counts a failure, and logs at most one in a second: a store that is away fails everything.
pub(crate) fn note(operation: &'static str, error: &Error) {
    static LAST_S: AtomicU64 = AtomicU64::new(0);
    let kind = match error {
        Error::Unavailable(_) => "unavailable",
        Error::Broken(_) => "broken",
        Error::Rejected(_) => "rejected",
    };
    ::metrics::counter!(metrics::STORE_FAILURES, "operation" => operation, "kind" => kind)
        .increment(1);
    let now_s = crate::clock::now_ms() / 1000;
    if LAST_S.swap(now_s, Ordering::Relaxed) != now_s {
        match error {
            Error::Unavailable(_) => tracing::warn!(operation, %error, "waiting for the store"),
            Error::Broken(_) | Error::Rejected(_) => {
                tracing::error!(operation, %error, "the store failed");
            }
        }
    }
}
