//! Login: a password for a device's token.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use godwit_core::ids::{DeviceId, Identity};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::{Kind, Problem};
use super::rates::origin;
use super::{Api, asked, request};
use crate::clock;
use crate::secret::Secret;

/// Who, and on which device.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    user: String,
    #[schema(value_type = String, format = Password)]
    password: Secret,
    /// The app's name for this device: 1-64 of A-Z a-z 0-9 _ . -
    device: String,
}

/// A device's token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Token {
    /// The MQTT password, and the Bearer token of REST.
    token: String,
    /// Milliseconds since 1970 when it ends.
    expires_ms: u64,
}

/// Gives a token of the embedded issuer for a local account's password. Wrong ones are counted by user
/// and address, and by user; beyond the rates tries are answered 429, but not to a device that has logged in
/// from there before.
#[utoipa::path(
    post, path = "/v1/login", tag = "users", request_body = Login, security(()),
    responses(
        (status = 200, description = "the token", body = Token),
        (status = 401, description = "no such user, or not the password", body = Problem),
        (status = 403, description = "accounts are off, or the user is suspended", body = Problem),
    ),
)]
pub(super) async fn login(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Json<Token>, Problem> {
    let from = origin(request.extensions());
    let body = asked::body_of(request).await?;
    api.accounts.are_on()?;
    let wanted: Login = request::json(&body)?;
    let user = request::user_id(&wanted.user, "user")?;
    let device =
        DeviceId::new(&wanted.device).map_err(|error| Problem::bad(format!("device {error}")))?;
    let tried = api.rates.login(from, &user, &device)?;
    let known = api.store.user(&user).await?;
    // The same work whether there is such an account or not.
    if !api.accounts.verify(&wanted.password, known.password_hash.as_deref()).await? {
        return Err(Problem::new(Kind::Unauthorized, "no such user, or not the password"));
    }
    tried.was_right();
    if known.suspended {
        return Err(Problem::new(Kind::Forbidden, "the user is suspended"));
    }
    // Above the moment at which its tokens were last revoked, also within the same millisecond.
    let now_ms = clock::now_ms().max(known.revoked_ms.map_or(0, |at| at + 1));
    let (token, expires_ms) = api.accounts.token(&Identity { user, device }, now_ms)?;
    Ok(Json(Token { token: token.expose().to_owned(), expires_ms }))
}
