//! Refusals as RFC 9457 has them: `application/problem+json`.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use godwit_core::store;
use serde::Serialize;
use utoipa::ToSchema;

/// A refusal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Names the kind of problem: `urn:godwit:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in words.
    title: Cow<'static, str>,
    /// The HTTP status.
    status: u16,
    /// What is wrong here, and the way out.
    detail: Cow<'static, str>,
    /// The kind for programs.
    code: &'static str,
}

/// The kinds of problems: code, status, title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    TooLarge,
    Unavailable,
    Internal,
}

impl Kind {
    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::BadRequest => {
                ("bad_request", StatusCode::BAD_REQUEST, "The request is not understood")
            }
            Self::Unauthorized => {
                ("unauthorized", StatusCode::UNAUTHORIZED, "A valid token is needed")
            }
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "The caller may not do this"),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "There is no such thing"),
            Self::MethodNotAllowed => (
                "method_not_allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "The path does not take this method",
            ),
            Self::Conflict => {
                ("conflict", StatusCode::CONFLICT, "The conversation does not allow this")
            }
            Self::TooLarge => {
                ("too_large", StatusCode::PAYLOAD_TOO_LARGE, "The request is too large")
            }
            Self::Unavailable => {
                ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "The server cannot do this now")
            }
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "The server failed"),
        }
    }
}

impl Problem {
    /// A problem of that kind, with what is wrong and the way out.
    pub(crate) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let (code, status, title) = kind.row();
        Self {
            kind: format!("urn:godwit:problem:{code}"),
            title: Cow::Borrowed(title),
            status: status.as_u16(),
            detail: detail.into(),
            code,
        }
    }

    /// Not known, or not to be known by the caller: the two look the same.
    pub(crate) fn no_conversation() -> Self {
        Self::new(Kind::NotFound, "no conversation of that id that the caller is a member of")
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable(_) => {
                tracing::warn!(stage = "rest", %error, "the store is away");
                Self::new(Kind::Unavailable, "the store is away; the same request may be repeated")
            }
            store::Error::Broken(_) => {
                tracing::error!(stage = "rest", %error, "the store failed");
                Self::new(Kind::Internal, "the store failed; the operator finds more in the log")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // A struct of texts and a number always becomes JSON.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
