//! What a token says, as it travels.

use serde::{Deserialize, Serialize};

/// The embedded issuer's name, as its tokens' `iss`.
pub(crate) const EMBEDDED_ISSUER: &str = "godwit";

/// The one audience of tokens for Godwit.
pub(crate) const AUDIENCE: &str = "godwit";

/// The claims as they travel.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) iss: Option<String>,
    pub(crate) sub: String,
    pub(crate) dev: String,
    pub(crate) aud: Audience,
    /// Seconds since 1970; RFC 7519 allows fractions.
    pub(crate) exp: serde_json::Number,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nbf: Option<serde_json::Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) iat: Option<serde_json::Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acl: Option<Acl>,
}

/// One audience, or several.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Many(Vec<String>),
}

/// The `acl` claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acl {
    #[serde(default, rename = "pub", skip_serializing_if = "Vec::is_empty")]
    pub(crate) publish: Vec<String>,
    #[serde(default, rename = "sub", skip_serializing_if = "Vec::is_empty")]
    pub(crate) subscribe: Vec<String>,
}

/// A time as a claim, exact to the millisecond: RFC 7519 allows fractions of a second.
pub(crate) fn number_of_ms(ms: u64) -> serde_json::Number {
    // Exact below 2^53, which is 285,000 years from now.
    #[allow(clippy::cast_precision_loss)]
    let seconds = ms as f64 / 1000.0;
    serde_json::Number::from_f64(seconds).unwrap_or_else(|| (ms / 1000).into())
}
