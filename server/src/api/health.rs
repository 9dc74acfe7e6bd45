//! Whether the process lives, whether it can serve, and what it counts.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use crate::limits::READY_TIME_MAX;

/// The process lives.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Live {
    status: &'static str,
    version: &'static str,
}

/// Whether it can serve, with each part.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ready {
    /// `ready`, or `unready`.
    status: &'static str,
    parts: Parts,
}

/// The parts that must be well.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Parts {
    store: Part,
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

/// The process lives: it answers.
#[utoipa::path(
    get, path = "/livez", tag = "operation", security(()),
    responses((status = 200, description = "it lives", body = Live)),
)]
pub(super) async fn livez() -> Json<Live> {
    Json(Live { status: "live", version: env!("CARGO_PKG_VERSION") })
}

/// The server can serve: the store answers, and no shutdown has begun.
#[utoipa::path(
    get, path = "/readyz", tag = "operation", security(()),
    responses(
        (status = 200, description = "every part is up", body = Ready),
        (status = 503, description = "a part is down", body = Ready),
    ),
)]
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Response {
    let store = match tokio::time::timeout(READY_TIME_MAX, api.store.ping()).await {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some("the store does not answer as it should"),
        Err(_) => Some("the store has not answered within a second"),
    };
    let listeners = (!api.serving.load(Ordering::Relaxed)).then_some("the server is stopping");
    let ready = store.is_none() && listeners.is_none();
    let body = Ready {
        status: if ready { "ready" } else { "unready" },
        parts: Parts { store: Part::new(store), listeners: Part::new(listeners) },
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
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
