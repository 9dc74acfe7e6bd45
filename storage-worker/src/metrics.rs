//! The names of the worker's metrics.

use metrics::{describe_counter, describe_gauge};

/// Events that have reached the stream.
pub(crate) const RELAYED: &str = "godwit_outbox_relayed_total";
/// Steps of the relay that failed.
pub(crate) const FAILURES: &str = "godwit_outbox_failures_total";
/// Seconds since this process has first seen the oldest event that is still in the outbox.
pub(crate) const OUTBOX_AGE: &str = "godwit_outbox_oldest_age_seconds";
/// What was removed; label `kind`.
pub(crate) const PRUNED: &str = "godwit_pruned_total";

/// Gives the metrics their help. Once the recorder is there.
pub(crate) fn describe() {
    describe_counter!(RELAYED, "Events moved from the outbox into the event stream");
    describe_counter!(FAILURES, "Steps of the outbox relay that failed");
    describe_gauge!(OUTBOX_AGE, "Seconds that the oldest event waits in the outbox; 0: none waits");
    describe_counter!(PRUNED, "What retention has removed, by kind");
}
