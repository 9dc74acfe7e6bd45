//! States by name, as `ETag` in answers (RFC 9110); [`super::if_match`] reads them back.

use axum::http::{HeaderName, HeaderValue, header};
use godwit_core::membership::Stamp;

/// The tag of a conversation's members and details.
pub(crate) fn of_stamp(stamp: Stamp) -> String {
    format!("\"{}.{}\"", stamp.group_version, stamp.details_seq)
}

/// The tag of a user's row.
pub(crate) fn of_version(version: u64) -> String {
    format!("\"{version}\"")
}

/// The header of an answer.
pub(crate) fn header(tag: &str) -> [(HeaderName, HeaderValue); 1] {
    // Digits, a dot and quotes are always a header's value.
    let value = HeaderValue::from_str(tag).unwrap_or(HeaderValue::from_static("\"\""));
    [(header::ETAG, value)]
}
