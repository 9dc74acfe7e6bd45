//! Settings: what a user lets others see.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use godwit_core::ids::UserId;
use godwit_core::notice::{Telling, What};
use godwit_core::people::{User, UserChange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::asked::Asked;
use super::caller::Caller;
use super::change::to_end;
use super::etag;
use super::if_match::IfMatch;
use super::problem::Problem;
use super::request::{self, Terms};
use crate::clock;

/// What a user lets others see.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Settings)]
pub(crate) struct View {
    /// Others are told how far the user has read.
    share_reads: bool,
    /// Others are told whether the user is online, and was last.
    share_presence: bool,
}

fn shown(user: &User) -> Response {
    let settings = user.settings;
    let view = View { share_reads: settings.share_reads, share_presence: settings.share_presence };
    (etag::header(&etag::of_version(user.version)), Json(view)).into_response()
}

/// Whose.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    user: Option<String>,
}

/// A user's settings.
#[utoipa::path(
    get, path = "/v1/settings", tag = "settings",
    params(("user" = Option<String>, Query, description = "whose; needed with the admin token")),
    responses(
        (status = 200, description = "here they are", body = View, headers(
            ("ETag" = String, description = "their state, for If-Match"),
        )),
        (status = 403, description = "another user's", body = Problem),
    ),
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Terms(whose): Terms<Whose>,
) -> Result<Response, Problem> {
    let user = caller.subject(whose.user.as_deref())?;
    Ok(shown(&api.store.user(&user).await?))
}

/// New settings; what is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SettingsPatch)]
pub(crate) struct Patch {
    /// Others are told how far the user has read.
    share_reads: Option<bool>,
    /// Others are told whether the user is online, and was last.
    share_presence: Option<bool>,
}

/// Changes a user's settings, in force at once.
#[utoipa::path(
    patch, path = "/v1/settings", tag = "settings", request_body = Patch,
    params(
        ("user" = Option<String>, Query, description = "whose; needed with the admin token"),
        ("If-Match" = Option<String>, Header, description = "the ETag of the state that may be changed"),
    ),
    responses(
        (status = 200, description = "the settings after it", body = View, headers(
            ("ETag" = String, description = "their state, for If-Match"),
        )),
        (status = 403, description = "another user's", body = Problem),
        (status = 412, description = "they have changed meanwhile", body = Problem),
    ),
)]
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    Terms(whose): Terms<Whose>,
    asked: Asked,
) -> Result<Response, Problem> {
    let user = asked.caller.subject(whose.user.as_deref())?;
    let wanted: Patch = request::json(&asked.body)?;
    if wanted.share_reads.is_none() && wanted.share_presence.is_none() {
        return Err(Problem::bad("nothing to change: name share_reads or share_presence"));
    }
    asked.claim(&api).await?;
    let change = UserChange {
        share_reads: wanted.share_reads,
        share_presence: wanted.share_presence,
        ..UserChange::default()
    };
    let changed = change_user(&api, user.clone(), change, &asked.if_match).await?;
    let telling = Telling {
        user,
        device: asked.caller.identity().map(|who| who.device.clone()),
        time_ms: clock::now_ms(),
        what: What::Settings(changed.settings),
    };
    api.control.tell(telling).await?;
    Ok(shown(&changed))
}

/// Changes a user's row in the state that `If-Match` names, and tells whoever remembers it.
pub(super) async fn change_user(
    api: &Arc<Api>,
    user: UserId,
    change: UserChange,
    if_match: &IfMatch,
) -> Result<User, Problem> {
    let Ok(if_version) = if_match.version() else {
        let now = api.store.user(&user).await?;
        return Err(Problem::changed(etag::of_version(now.version)));
    };
    let change = UserChange { if_version, time_ms: clock::now_ms(), ..change };
    let api = Arc::clone(api);
    to_end(async move {
        let changed = api.store.change_user(&user, &change).await?;
        let changed = changed.map_err(|now| Problem::changed(etag::of_version(now.version)))?;
        if change.password_hash.is_some()
            || change.suspended.is_some()
            || change.revoke
            || change.delete
        {
            api.revoked().await;
        }
        api.forget(&[&user]);
        Ok(changed)
    })
    .await
}
