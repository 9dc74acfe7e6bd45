//! The names of the executable's own metrics, and the recorder behind `/metrics`.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::failure::{Failure, Result};
use crate::limits;

/// 1, with the version as label.
pub(crate) const BUILD_INFO: &str = "godwit_build_info";
/// HTTP requests by method, route and status.
pub(crate) const HTTP_REQUESTS: &str = "godwit_http_requests_total";
/// Seconds that HTTP requests took, by route.
pub(crate) const HTTP_REQUEST_SECONDS: &str = "godwit_http_request_seconds";

/// Lines written to the audit trail; label `trail`: `acts` or `connects`.
pub(crate) const AUDIT_LINES: &str = "godwit_audit_lines_total";
/// Lines of the audit trail that were lost; label `why`: the `queue` was full, or the `disk` took none.
pub(crate) const AUDIT_LOST: &str = "godwit_audit_lost_total";

/// Upper bounds of every histogram's buckets, in seconds: from a commit's tenth of a millisecond
/// to the longest wait that is not an error.
const BUCKETS_S: [f64; 14] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Installs the recorder of this process and keeps it tidy. Within a tokio runtime.
pub(crate) fn install() -> Result<PrometheusHandle> {
    let refused = |error: metrics_exporter_prometheus::BuildError| {
        Failure::new(format!("the metrics cannot be recorded: {error}"), "This is a defect.")
    };
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS_S).map_err(refused)?;
    let handle = builder.install_recorder().map_err(refused)?;
    metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(limits::METRICS_UPKEEP);
        loop {
            tick.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}
