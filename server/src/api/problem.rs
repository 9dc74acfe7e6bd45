//! Refusals as RFC 9457 has them: `application/problem+json`.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use godwit_core::change::Refused;
use godwit_core::{receipt, store};
use serde::Serialize;
use utoipa::ToSchema;

use super::etag::of_stamp;
use crate::limits::HTTP_BODY_BYTES_MAX;

/// A refusal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Names the kind of problem: `urn:godwit:problem:` and the code.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong here, and the way out.
    detail: Cow<'static, str>,
    /// The kind for programs.
    code: &'static str,
    /// How long to wait before the same request may succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// What is there now, for a request that named another state.
    #[serde(skip)]
    etag: Option<String>,
}

/// A body is larger than whoever sends it may send.
#[derive(Debug)]
pub(crate) struct TooMuch;

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too much for a stranger")
    }
}

impl Error for TooMuch {}

impl TooMuch {
    /// Whether an error came from it.
    pub(crate) fn caused(error: &(dyn Error + 'static)) -> bool {
        let mut next = Some(error);
        while let Some(error) = next {
            if error.is::<Self>() {
                return true;
            }
            next = error.source();
        }
        false
    }
}

/// The kinds of problems: type, status, title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    LastOwner,
    Changed,
    TooLarge,
    KeyReused,
    Throttled,
    Unavailable,
    Internal,
}

impl Kind {
    /// All kinds.
    pub(crate) const ALL: [Self; 13] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::LastOwner,
        Self::Changed,
        Self::TooLarge,
        Self::KeyReused,
        Self::Throttled,
        Self::Unavailable,
        Self::Internal,
    ];

    /// For programs.
    pub(crate) fn code(self) -> &'static str {
        code_of(self.row().0)
    }

    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::BadRequest => (
                "urn:godwit:problem:bad_request",
                StatusCode::BAD_REQUEST,
                "The request is not understood",
            ),
            Self::Unauthorized => (
                "urn:godwit:problem:unauthorized",
                StatusCode::UNAUTHORIZED,
                "A valid token is needed",
            ),
            Self::Forbidden => (
                "urn:godwit:problem:forbidden",
                StatusCode::FORBIDDEN,
                "The caller may not do this",
            ),
            Self::NotFound => {
                ("urn:godwit:problem:not_found", StatusCode::NOT_FOUND, "There is no such thing")
            }
            Self::MethodNotAllowed => (
                "urn:godwit:problem:method_not_allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "The path does not take this method",
            ),
            Self::Conflict => (
                "urn:godwit:problem:conflict",
                StatusCode::CONFLICT,
                "As things are, this cannot be",
            ),
            Self::LastOwner => (
                "urn:godwit:problem:last_owner",
                StatusCode::CONFLICT,
                "A group is never without an owner",
            ),
            Self::Changed => (
                "urn:godwit:problem:changed",
                StatusCode::PRECONDITION_FAILED,
                "It has changed meanwhile",
            ),
            Self::TooLarge => (
                "urn:godwit:problem:too_large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request is too large",
            ),
            Self::KeyReused => (
                "urn:godwit:problem:key_reused",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The idempotency key was used for another request",
            ),
            Self::Throttled => (
                "urn:godwit:problem:throttled",
                StatusCode::TOO_MANY_REQUESTS,
                "Too much, too fast",
            ),
            Self::Unavailable => (
                "urn:godwit:problem:unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The server cannot do this now",
            ),
            Self::Internal => (
                "urn:godwit:problem:internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                "The server failed",
            ),
        }
    }
}

/// What stands behind the last colon of a problem's type.
fn code_of(kind: &'static str) -> &'static str {
    kind.rsplit(':').next().unwrap_or(kind)
}

impl Problem {
    /// A problem of that kind, with what is wrong and the way out.
    pub(crate) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let (kind, status, title) = kind.row();
        Self {
            kind,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            code: code_of(kind),
            retry_after_ms: None,
            etag: None,
        }
    }

    /// Not understood, or never right.
    pub(crate) fn bad(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::BadRequest, detail)
    }

    /// Not now; the same request may be repeated after `wait`.
    pub(crate) fn throttled(detail: impl Into<Cow<'static, str>>, wait: Duration) -> Self {
        // Rounded up: whoever waits as long as told is let through.
        let ms = u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX).max(1);
        Self { retry_after_ms: Some(ms), ..Self::new(Kind::Throttled, detail) }
    }

    /// A body beyond the bound.
    pub(crate) fn too_large() -> Self {
        let detail = format!("a request's body has at most {HTTP_BODY_BYTES_MAX} bytes");
        Self::new(Kind::TooLarge, detail)
    }

    /// `If-Match` names another state than `etag`, which is there now.
    pub(crate) fn changed(etag: String) -> Self {
        let detail = "If-Match names another state than the one that the header ETag names now; \
                      look at it again";
        Self { etag: Some(etag), ..Self::new(Kind::Changed, detail) }
    }

    /// Whether it is [`Problem::changed`].
    pub(crate) fn is_changed(&self) -> bool {
        self.etag.is_some()
    }

    /// The operating system gives no random bytes.
    pub(crate) fn no_randomness() -> Self {
        Self::new(Kind::Internal, "no random id can be made now")
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
            store::Error::Rejected(_) => {
                tracing::error!(stage = "rest", %error, "the store rejected a request");
                Self::bad("the store cannot hold this; nothing was stored")
            }
            store::Error::Broken(_) => {
                tracing::error!(stage = "rest", %error, "the store failed");
                Self::new(Kind::Internal, "the store failed; the operator finds more in the log")
            }
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let kind = match &refused {
            Refused::Unknown => return Self::no_conversation(),
            Refused::Stale(stamp) => return Self::changed(of_stamp(*stamp)),
            Refused::Forbidden(_) | Refused::Unvetted(_) => Kind::Forbidden,
            Refused::NoMember(_) => Kind::NotFound,
            Refused::Direct | Refused::Nothing(_) | Refused::Full { .. } => Kind::Conflict,
            Refused::LastOwner => Kind::LastOwner,
            Refused::Malformed(_) => Kind::BadRequest,
            Refused::KeyReused => Kind::KeyReused,
        };
        Self::new(kind, refused.to_string())
    }
}

impl From<receipt::Refused> for Problem {
    fn from(refused: receipt::Refused) -> Self {
        match refused {
            receipt::Refused::NoMember(_) => Self::no_conversation(),
            receipt::Refused::BeyondHead { head, .. } => {
                Self::bad(format!("delivered and read are places of the log, which ends at {head}"))
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
        let wait_ms = match status {
            StatusCode::SERVICE_UNAVAILABLE => Some(self.retry_after_ms.unwrap_or(1000)),
            _ => self.retry_after_ms,
        };
        if let Some(ms) = wait_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
        }
        if let Some(etag) = self.etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
            headers.insert(header::ETAG, etag);
        }
        response
    }
}
