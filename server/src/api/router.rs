//! The routes, and what stands around every one of them: a body limit, a time limit, metrics.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Kind, Problem};
use super::{Api, conversations, health, members, messages};
use crate::limits::{HTTP_BODY_BYTES_MAX, HTTP_REQUEST_TIME_MAX};
use crate::metrics::{HTTP_REQUEST_SECONDS, HTTP_REQUESTS};

/// All routes over `api`.
pub(crate) fn router(api: Arc<Api>) -> Router {
    let (router, document) = documented().split_for_parts();
    let document = Arc::new(described(document));
    router
        .route("/openapi.json", get(move || async move { Json((*document).clone()) }))
        .fallback(|| async { Problem::new(Kind::NotFound, "no such path; see /openapi.json") })
        .layer(DefaultBodyLimit::max(HTTP_BODY_BYTES_MAX))
        .layer(middleware::from_fn(around))
        .with_state(api)
}

fn documented() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(conversations::create))
        .routes(routes!(conversations::show))
        .routes(routes!(messages::list))
        .routes(routes!(members::add))
        .routes(routes!(members::remove))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

/// Adds what is not said by the handlers: title, version, how to show a token.
fn described(mut document: OpenApi) -> OpenApi {
    document.info.title = "Godwit".to_owned();
    document.info.contact = None;
    document.info.license = None;
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document.info.description = Some(
        "Conversations and their logs for apps' servers and operators. Devices speak MQTT.".into(),
    );
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The admin token, or a device's own token (a JWT)."))
        .build();
    document
        .components
        .get_or_insert_default()
        .add_security_scheme("token", SecurityScheme::Http(bearer));
    document.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    document
}

/// Bounds a request in time, gives the framework's own refusals our form, counts it.
async fn around(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().as_str().to_owned();
    // The route as written, not the path: ids are no labels.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let response = match tokio::time::timeout(HTTP_REQUEST_TIME_MAX, next.run(request)).await {
        Ok(response) => in_form(response),
        Err(_) => Problem::new(Kind::Unavailable, "not done in time; look before repeating")
            .into_response(),
    };
    let status = response.status().as_u16().to_string();
    let known = ["GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"];
    let method = if known.contains(&method.as_str()) { method } else { "other".to_owned() };
    metrics::counter!(HTTP_REQUESTS, "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    metrics::histogram!(HTTP_REQUEST_SECONDS, "route" => route)
        .record(start.elapsed().as_secs_f64());
    response
}

/// axum's own refusals are plain text; all of ours are problems.
fn in_form(response: Response) -> Response {
    let json = HeaderValue::from_static("application/problem+json");
    let ours = response.headers().get(header::CONTENT_TYPE) == Some(&json);
    match response.status() {
        _ if ours => response,
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            Kind::TooLarge,
            format!("a request's body has at most {HTTP_BODY_BYTES_MAX} bytes"),
        )
        .into_response(),
        StatusCode::METHOD_NOT_ALLOWED => {
            let allow = response.headers().get(header::ALLOW).cloned();
            let mut refused =
                Problem::new(Kind::MethodNotAllowed, "see /openapi.json").into_response();
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
