//! What browsers ask before a page of another origin may use REST (CORS).
//!
//! No cookie or other ambient right is ever looked at, so `Access-Control-Allow-Credentials` is not
//! given: a page shows its token itself, like every other caller.

use std::time::Duration;

use axum::http::header::{
    self, ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION, RETRY_AFTER,
};
use axum::http::{HeaderName, HeaderValue, Method};
use godwit_broker::listen::web_origin;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember the answer to its question. Chromium's own bound is two hours.
const REMEMBERED: Duration = Duration::from_secs(600);

/// As the guide to REST writes it; names of headers are in lower case here.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Answers for the origins of `http.cors_origins`; `None`: no page is let in.
pub(super) fn layer(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let listed = origins.to_vec();
    let allowed = move |origin: &HeaderValue, _: &_| web_origin::allows(&listed, origin.as_bytes());
    Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(allowed))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers([
                ACCEPT,
                AUTHORIZATION,
                CONTENT_TYPE,
                IDEMPOTENCY_KEY,
                IF_MATCH,
                IF_NONE_MATCH,
            ])
            .expose_headers([ETAG, LOCATION, RETRY_AFTER, header::DATE])
            .max_age(REMEMBERED),
    )
}
