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
/// Messages with receipts given to the broker.
pub(crate) const RECEIPTS_TOLD: &str = "godwit_receipts_told_total";
/// Receipts left out; label `why`: too many wait for the `store`, or for the `members` to be read.
pub(crate) const RECEIPTS_DROPPED: &str = "godwit_receipts_dropped_total";
/// Typing events given to the broker.
pub(crate) const TYPING: &str = "godwit_typing_told_total";
/// Presence events given to the broker.
pub(crate) const PRESENCE: &str = "godwit_presence_told_total";
/// Head notices given to the broker.
pub(crate) const NOTICES: &str = "godwit_notices_total";
/// Entries that wait for the fan-out of large groups now.
pub(crate) const LARGE_QUEUE: &str = "godwit_large_group_queue_entries";
/// What was left out because there was too much; label `what`: an opened conversation's presence
/// (`watch`), a user's (`presence`), an entry of a large group that the devices have to read
/// (`large_group`).
pub(crate) const SHED: &str = "godwit_shed_total";
