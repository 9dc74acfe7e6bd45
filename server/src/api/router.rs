//! The routes, and what stands around every one of them: a rate, a body limit, a time limit, metrics.

use std::sync::Arc;
use std::time::Instant;

use axum::body::HttpBody as _;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::document::{self, Document};
use super::problem::{Kind, Problem};
use super::rates::origin;
use super::{
    Api, audited, blocks, conversations, cors, devices, docs, health, inbox, invitations, login,
    members, messages, receipts, send, settings, users,
};
use crate::limits::{HTTP_BODY_BYTES_MAX, HTTP_REQUEST_TIME_MAX, HTTP_THROTTLED_PAUSE};
use crate::metrics::{HTTP_REQUEST_SECONDS, HTTP_REQUESTS};

/// All routes over `api`; pages of `cors_origins` may use them.
pub(crate) fn router(api: Arc<Api>, cors_origins: &[String]) -> Router {
    let (router, document) = documented().split_for_parts();
    let router = router
        .fallback(|| async { Problem::new(Kind::NotFound, "no such path; see /docs") })
        .layer(Extension(Document::new(document)))
        .layer(DefaultBodyLimit::max(HTTP_BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), around))
        .with_state(api);
    // Around all of it: a refusal without these headers could not be read by the page either.
    match cors::layer(cors_origins) {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

/// What a machine asks that watches the server, for a listener of its own.
pub(crate) fn probes(api: Arc<Api>) -> Router {
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .fallback(|| async { Problem::new(Kind::NotFound, "only probes are answered here") })
        .layer(middleware::from_fn_with_state(Arc::clone(&api), around))
        .with_state(api)
}

/// The routes without the metrics, which are on the probes' own listener.
pub(crate) fn without_metrics(router: Router) -> Router {
    router.layer(middleware::from_fn(async |request: Request, next: Next| {
        if request.uri().path() == "/metrics" {
            let what = "the metrics are at the address of listen.probes";
            return Problem::new(Kind::NotFound, what).into_response();
        }
        next.run(request).await
    }))
}

/// Every route that there is: what is not described is not served.
fn documented() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(conversations::create, conversations::list))
        .routes(routes!(conversations::show, conversations::patch))
        .routes(routes!(messages::list, send::create))
        .routes(routes!(messages::pins))
        .routes(routes!(members::list, members::add))
        .routes(routes!(members::patch, members::remove))
        .routes(routes!(members::transfer))
        .routes(routes!(receipts::list, receipts::report))
        .routes(routes!(inbox::list))
        .routes(routes!(inbox::show, inbox::patch))
        .routes(routes!(users::create))
        .routes(routes!(users::show, users::patch, users::remove))
        .routes(routes!(users::profile))
        .routes(routes!(users::password))
        .routes(routes!(users::suspend, users::lift))
        .routes(routes!(login::login))
        .routes(routes!(settings::show, settings::patch))
        .routes(routes!(devices::list, devices::revoke_all))
        .routes(routes!(devices::patch, devices::revoke))
        .routes(routes!(devices::admit))
        .routes(routes!(blocks::list))
        .routes(routes!(invitations::invitations))
        .routes(routes!(blocks::put, blocks::remove))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(document::openapi))
        .routes(routes!(docs::page))
        .routes(routes!(docs::script))
        .routes(routes!(docs::style))
}

/// Bounds a request in rate and time, gives the framework's own refusals our form, counts it. Health
/// and metrics are asked by machines that must be answered: they have a rate of their own. Whoever is too
/// fast waits for the refusal, and answers count by their size.
async fn around(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let note = audited::begin(&mut request);
    let method = request.method().as_str().to_owned();
    // The route as written, not the path: ids are no labels.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let from = origin(request.extensions());
    let let_in = match request.uri().path() {
        "/livez" | "/readyz" | "/metrics" => api.rates.probe(from),
        path if path.starts_with("/v1/") => api.rates.address(from),
        _ => api.rates.document(from),
    };
    let response = match let_in {
        Ok(()) => in_time(request, next).await,
        Err(throttled) => {
            tokio::time::sleep(HTTP_THROTTLED_PAUSE).await;
            // What else was sent on this connection is not even read.
            ([(header::CONNECTION, "close")], throttled).into_response()
        }
    };
    let bytes = response.body().size_hint().lower();
    match note.as_ref().and_then(audited::Note::device) {
        Some(device) => api.rates.answered(&device, bytes),
        None => api.rates.shown(from, bytes),
    }
    if let Some(note) = note {
        note.end(&api.audit, response.status());
    }
    let status = response.status().as_u16().to_string();
    let known = ["GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"];
    let method = if known.contains(&method.as_str()) { method } else { "other".to_owned() };
    metrics::counter!(HTTP_REQUESTS, "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    metrics::histogram!(HTTP_REQUEST_SECONDS, "route" => route)
        .record(start.elapsed().as_secs_f64());
    response
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(HTTP_REQUEST_TIME_MAX, next.run(request)).await {
        Ok(response) => in_form(response),
        Err(_) => Problem::new(Kind::Unavailable, "not done in time; look before repeating")
            .into_response(),
    }
}

/// axum's own refusals are plain text; all of ours are problems.
fn in_form(response: Response) -> Response {
    let json = HeaderValue::from_static("application/problem+json");
    let ours = response.headers().get(header::CONTENT_TYPE) == Some(&json);
    match response.status() {
        _ if ours => response,
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large().into_response(),
        StatusCode::METHOD_NOT_ALLOWED => {
            let allow = response.headers().get(header::ALLOW).cloned();
            let mut refused = Problem::new(Kind::MethodNotAllowed, "see /docs").into_response();
            if let Some(allow) = allow {
                refused.headers_mut().insert(header::ALLOW, allow);
            }
            refused
        }
        StatusCode::BAD_REQUEST => {
            Problem::new(Kind::BadRequest, "the path or the query cannot be read").into_response()
        }
        _ => response,
    }
}
