//! The names of the bridge's metrics.

use std::time::Duration;

use ::metrics::{describe_counter, describe_gauge, describe_histogram};
use godwit_core::tasks::Death;

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
/// Entries that no announcement told of in time: events did, and they were read from the log.
pub(crate) const HEALED: &str = "godwit_entries_healed_total";
/// Seconds from such an event to the delivery of its entry.
pub(crate) const HEALED_SECONDS: &str = "godwit_entry_heal_seconds";
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
/// Seconds that a stage took; label `stage`: `queue` (the oldest send of a batch, from ingest to the
/// begin of its commit), `commit` (one batch), `ack` (its senders and the bus told), `route` (from an
/// entry's own time to its members' devices, so it spans all of these).
pub(crate) const STAGE: &str = "godwit_stage_seconds";
/// Sends with QoS 0 that were not stored, and whose senders got no PUBACK that says so; label `fate`.
pub(crate) const QOS_0_LOST: &str = "godwit_qos_0_lost_total";

/// Tasks of one device, or of one signal, that died: a defect; label `task`.
pub(crate) const TASKS_DIED: &str = "godwit_tasks_died_total";

/// Gives the metrics their help. Once the recorder is there.
pub(crate) fn describe() {
    describe_counter!(SENDS, "Sends, by what became of them");
    describe_counter!(COMMITS, "Commits of batches, by result");
    describe_histogram!(COMMIT_SENDS, "Sends in one commit");
    describe_histogram!(COMMIT_SECONDS, "Seconds that one commit took, tries included");
    describe_gauge!(QUEUE_SENDS, "Sends that wait for a commit");
    describe_counter!(DELIVERIES, "Deliveries given to the broker: pushed, or read from the log");
    describe_counter!(GAPS, "Gaps seen in announcements and read from the log");
    describe_counter!(
        HEALED,
        "Entries that were announced to nobody and delivered by their events"
    );
    describe_histogram!(HEALED_SECONDS, "Seconds from such an event to the delivery of its entry");
    describe_gauge!(DEVICES, "Devices online at this bridge");
    describe_counter!(STORE_FAILURES, "Operations of the store that failed, by operation and kind");
    describe_counter!(RECEIPTS_TOLD, "Messages with receipts given to the broker");
    describe_counter!(RECEIPTS_DROPPED, "Receipts left out because too many waited");
    describe_counter!(TYPING, "Typing events given to the broker");
    describe_counter!(PRESENCE, "Presence events given to the broker");
    describe_counter!(NOTICES, "Head notices given to the broker");
    describe_gauge!(LARGE_QUEUE, "Entries that wait for the fan-out of large groups");
    describe_counter!(SHED, "What was left out because there was too much, by what");
    describe_histogram!(STAGE, "Seconds that a stage took, by stage: queue, commit, ack, route");
    describe_counter!(TASKS_DIED, "Tasks of one device or signal that died of a defect, by task");
    describe_counter!(QOS_0_LOST, "Sends with QoS 0 that were not stored, by what became of them");
}

/// A task that no device waits for died of a defect: its signal is lost, as signals may be.
pub(crate) fn signal_lost(death: &Death) {
    ::metrics::counter!(TASKS_DIED, "task" => death.task).increment(1);
    tracing::error!(stage = "deliver", %death, "a signal is lost");
}

/// Notes how long a stage took.
pub(crate) fn stage(stage: &'static str, took: Duration) {
    ::metrics::histogram!(STAGE, "stage" => stage).record(took);
}
