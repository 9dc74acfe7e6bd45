//! Whether the process lives, whether it can serve, and what it counts.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use godwit_core::bus::Commits;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use crate::limits::{COMMIT_FAILURE_KEPT, COMMIT_STALL_MAX, READY_KEPT};

/// The process lives.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Live {
    status: &'static str,
    version: &'static str,
}

/// Whether sends can be committed, with each part (CONTRACT.md, "Many processes").
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ready {
    /// `ready`; `degraded`: sends are committed, but a part is lost; `down`.
    state: &'static str,
    parts: Parts,
    /// The parts that are down, by their names.
    lost: Vec<&'static str>,
}

/// The parts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Parts {
    /// Whoever writes: commits are taken.
    store: Part,
    /// Whoever reads: devices that lag, and REST.
    reads: Part,
    bus: Part,
    listeners: Part,
}

/// One part.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Part {
    /// `up`, or `down`.
    status: &'static str,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl Part {
    fn new(reason: Option<&'static str>) -> Self {
        Self { status: if reason.is_none() { "up" } else { "down" }, reason }
    }
}

/// Why commits are not taken, as far as their own outcomes say.
fn commits(commits: &Commits) -> Option<&'static str> {
    if commits.under_way.is_some_and(|age| age > COMMIT_STALL_MAX) {
        return Some("a commit has not moved for some seconds");
    }
    let failed = commits.last_failure.is_some_and(|age| age < COMMIT_FAILURE_KEPT);
    failed.then_some("the last commit failed; sends wait")
}

/// The process lives: it answers.
#[utoipa::path(
    get, path = "/livez", tag = "operation", security(()),
    responses((status = 200, description = "it lives", body = Live)),
)]
pub(super) async fn livez() -> Json<Live> {
    Json(Live { status: "live", version: env!("CARGO_PKG_VERSION") })
}

/// Sends can be committed: the last ones were, or the writer has just answered a probe; and no
/// shutdown has begun.
#[utoipa::path(
    get, path = "/readyz", tag = "operation", security(()),
    responses(
        (status = 200, description = "sends can be committed (ready, degraded)", body = Ready),
        (status = 503, description = "they cannot (down)", body = Ready),
    ),
)]
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Response {
    const SILENT: &str = "the store has not answered within a second";
    let outcomes = api.control.commits();
    let lately =
        outcomes.failing.is_none() && outcomes.last_success.is_some_and(|age| age < READY_KEPT);
    let found = api.probe.ask(&api.store, lately).await;
    let store = commits(&outcomes).or(match found {
        _ if lately => None,
        Some(found) => (!found.writes).then_some("a probe was not committed"),
        None => Some(SILENT),
    });
    let reads = match found {
        Some(found) => (!found.reads).then_some("the store does not answer as it should"),
        None => Some(SILENT),
    };
    let listeners = (!api.serving.load(Ordering::Relaxed)).then_some("the server is stopping");
    let parts = [("store", store), ("reads", reads), ("bus", None), ("listeners", listeners)];
    let lost: Vec<_> =
        parts.iter().filter(|(_, why)| why.is_some()).map(|(name, _)| *name).collect();
    let down = store.is_some() || listeners.is_some();
    let state = match (down, lost.is_empty()) {
        (true, _) => "down",
        (false, false) => "degraded",
        (false, true) => "ready",
    };
    let [store, reads, bus, listeners] = parts.map(|(_, why)| Part::new(why));
    let body = Ready { state, parts: Parts { store, reads, bus, listeners }, lost };
    let status = if down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Json(body)).into_response()
}

/// Counters, gauges and histograms in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operation", security(()),
    responses((status = 200, description = "the metrics", body = String, content_type = "text/plain")),
)]
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], api.metrics.render())
}
