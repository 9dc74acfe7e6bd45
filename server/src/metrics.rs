//! The names of the executable's own metrics, and the recorder behind `/metrics`.

use std::time::Duration;

use godwit_core::pool::Use;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::failure::{Failure, Result};

/// 1, with the version as label.
pub(crate) const BUILD_INFO: &str = "godwit_build_info";
/// HTTP requests by method, route and status.
pub(crate) const HTTP_REQUESTS: &str = "godwit_http_requests_total";
/// Seconds that HTTP requests took, by route.
pub(crate) const HTTP_REQUEST_SECONDS: &str = "godwit_http_request_seconds";
/// HTTP connections closed to keep room for others; label `why`: `full` (its address, or all, have as
/// many as are allowed) or `slow` (others were in line).
pub(crate) const HTTP_TURNED_AWAY: &str = "godwit_http_turned_away_total";

/// Lines written to the audit trail; label `trail`: `acts` or `connects`.
pub(crate) const AUDIT_LINES: &str = "godwit_audit_lines_total";
/// Lines of the audit trail that were lost; label `why`: the `queue` was full, or the `disk` took none.
pub(crate) const AUDIT_LOST: &str = "godwit_audit_lost_total";

/// Lines of log that were lost because standard error took none.
pub(crate) const LOG_LOST: &str = "godwit_log_lost_total";

/// Seconds that giving memory back to the system took, after a crowd had left.
pub(crate) const MEMORY_GIVEN_BACK: &str = "godwit_memory_given_back_seconds";
/// Connections of the store; labels `pool` (`readers`, `commits`, `changes` (Postgres), `others`) and
/// `state` (`used`, `idle`).
pub(crate) const STORE_CONNECTIONS: &str = "godwit_store_connections";
/// Operations that wait for a connection (on SQLite: for their turn to write, too); label `pool`.
pub(crate) const STORE_WAITING: &str = "godwit_store_waiting_operations";
/// Operations that have got a connection, or not within their time; labels `pool`, `result` (`ok`,
/// `failed`).
pub(crate) const STORE_WAITS: &str = "godwit_store_waits_total";
/// Milliseconds that operations have waited for a connection, all together; label `pool`.
pub(crate) const STORE_WAITED: &str = "godwit_store_waited_milliseconds_total";
/// The longest wait for a connection that has ended since the last look; label `pool`.
pub(crate) const STORE_WAIT_LONGEST: &str = "godwit_store_wait_longest_seconds";

/// Bytes of memory that the process holds (RSS).
pub(crate) const MEMORY_BYTES: &str = "process_resident_memory_bytes";
/// File descriptors that are open.
pub(crate) const OPEN_FDS: &str = "process_open_fds";
/// File descriptors that may be open.
pub(crate) const OPEN_FDS_MAX: &str = "process_max_fds";
/// Threads.
pub(crate) const THREADS: &str = "process_threads";

/// Upper bounds of the buckets of what is counted and not timed: sends in a commit.
const BUCKETS_COUNT: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Upper bounds of every histogram's buckets, in seconds: from a commit's tenth of a millisecond
/// to the longest wait that is not an error.
const BUCKETS_S: [f64; 14] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Gives every metric its help.
fn describe() {
    describe_gauge!(BUILD_INFO, "1, with the version as label");
    describe_counter!(HTTP_REQUESTS, "HTTP requests, by method, route and status");
    describe_histogram!(HTTP_REQUEST_SECONDS, "Seconds that HTTP requests took, by route");
    describe_counter!(HTTP_TURNED_AWAY, "HTTP connections closed to keep room, by reason");
    describe_counter!(AUDIT_LINES, "Lines written to the audit trail");
    describe_counter!(AUDIT_LOST, "Lines of the audit trail that were lost");
    describe_counter!(LOG_LOST, "Lines of log that were lost: standard error took none");
    describe_histogram!(MEMORY_GIVEN_BACK, "Seconds that giving memory back took, after a crowd");
    describe_gauge!(STORE_CONNECTIONS, "Connections of the store, by pool and whether one is used");
    describe_gauge!(STORE_WAITING, "Operations that wait for a connection of the store, by pool");
    describe_counter!(STORE_WAITS, "Waits for a connection of the store, by pool and result");
    describe_counter!(STORE_WAITED, "Milliseconds waited for connections of the store, by pool");
    describe_gauge!(STORE_WAIT_LONGEST, "The longest wait since the last look, by pool");
    describe_gauge!(MEMORY_BYTES, "Resident memory in bytes");
    describe_gauge!(OPEN_FDS, "Open file descriptors");
    describe_gauge!(OPEN_FDS_MAX, "File descriptors that may be open");
    describe_gauge!(THREADS, "Threads");
    godwit_broker::describe_metrics();
    godwit_bridge::describe_metrics();
    godwit_storage_worker::describe_metrics();
}

/// Installs the recorder of this process and keeps it tidy. Within a tokio runtime.
pub(crate) fn install() -> Result<PrometheusHandle> {
    let refused = |error: metrics_exporter_prometheus::BuildError| {
        Failure::new(format!("the metrics cannot be recorded: {error}"), "This is a defect.")
    };
    let counted = Matcher::Suffix("_sends".to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets(&BUCKETS_S)
        .and_then(|builder| builder.set_buckets_for_metric(counted, &BUCKETS_COUNT))
        .map_err(refused)?;
    let handle = builder.install_recorder().map_err(refused)?;
    describe();
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// Tells how the store's connections are used.
pub(crate) fn tell_pools(pools: Vec<Use>) {
    let whole = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    for Use { name, open, idle, waiting, taken, failed, waited, longest } in pools {
        gauge!(STORE_CONNECTIONS, "pool" => name, "state" => "used").set(wide(open - idle));
        gauge!(STORE_CONNECTIONS, "pool" => name, "state" => "idle").set(wide(idle));
        gauge!(STORE_WAITING, "pool" => name).set(wide(waiting));
        counter!(STORE_WAITS, "pool" => name, "result" => "ok").absolute(taken);
        counter!(STORE_WAITS, "pool" => name, "result" => "failed").absolute(failed);
        counter!(STORE_WAITED, "pool" => name).absolute(whole(waited));
        gauge!(STORE_WAIT_LONGEST, "pool" => name).set(longest.as_secs_f64());
    }
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 of anything")]
fn wide(count: u64) -> f64 {
    count as f64
}
