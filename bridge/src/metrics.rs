//! The names of the bridge's metrics.

/// Sends by what became of them; label `fate`.
pub(crate) const SENDS: &str = "godwit_sends_total";
/// Commits of batches; label `result`.
pub(crate) const COMMITS: &str = "godwit_commits_total";
/// Sends in one commit.
pub(crate) const COMMIT_SENDS: &str = "godwit_commit_sends";
/// Seconds that one commit took.
pub(crate) const COMMIT_SECONDS: &str = "godwit_commit_seconds";
/// Sends that wait for a commit now.
pub(crate) const QUEUE_SENDS: &str = "godwit_commit_queue_sends";
/// Deliveries given to the broker; label `way`: `pushed`, or `read` from the log.
pub(crate) const DELIVERIES: &str = "godwit_deliveries_total";
/// Gaps seen in announcements and read from the log.
pub(crate) const GAPS: &str = "godwit_gaps_total";
/// Devices online at this bridge.
pub(crate) const DEVICES: &str = "godwit_devices_online";
/// Operations of the store that failed; labels `operation`, `kind`.
pub(crate) const STORE_FAILURES: &str = "godwit_store_failures_total";
