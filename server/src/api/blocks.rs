//! Blocks: whom a user does not want to hear from.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use godwit_core::ids::UserId;
use godwit_core::notice::{Telling, What};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::asked::Asked;
use super::caller::Caller;
use super::change::to_end;
use super::problem::{Kind, Problem};
use super::request::{self, Terms};
use super::{Api, paging};
use crate::clock;

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTerms {
    user: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

/// A page of blocked users.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BlockList)]
pub(crate) struct List {
    /// User ids, ordered.
    blocks: Vec<String>,
    /// Ask for the next page with `cursor` set to this; null: this is all.
    next: Option<String>,
}

/// Whom a user blocks.
#[utoipa::path(
    get, path = "/v1/blocks", tag = "blocks",
    params(
        ("user" = Option<String>, Query, description = "who blocks; needed with the admin token"),
        ("cursor" = Option<String>, Query, description = "next of the page before"),
        ("limit" = Option<u32>, Query, description = "users of the page, 1 to 100; 100 if absent"),
    ),
    responses(
        (status = 200, description = "here they are", body = List),
        (status = 403, description = "another user's", body = Problem),
    ),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Terms(terms): Terms<ListTerms>,
) -> Result<Json<List>, Problem> {
    const LIST: &str = "blocks";
    let user = caller.subject(terms.user.as_deref())?;
    let limit = paging::limit(terms.limit.as_deref())?;
    let after = paging::place(LIST, terms.cursor.as_deref(), |text| UserId::new(text).ok())?;
    let blocks = api.store.blocks(&user).await?;
    let (page, last) = paging::cut(&blocks, after.as_ref(), limit, |user| user);
    Ok(Json(List {
        blocks: page.iter().map(ToString::to_string).collect(),
        next: last.map(|user| paging::next(LIST, user.as_str())),
    }))
}

/// Who blocks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    user: Option<String>,
}

/// Blocks a user: in the direct conversation of the two the other may not send any more, and can
/// neither begin one nor add the blocker to a group. In groups of both nothing changes.
#[utoipa::path(
    put, path = "/v1/blocks/{user}", tag = "blocks",
    params(
        ("user" = String, Path, description = "who is blocked"),
        ("user" = Option<String>, Query, description = "who blocks; needed with the admin token"),
    ),
    responses(
        (status = 204, description = "blocked, now or before"),
        (status = 403, description = "another user's", body = Problem),
        (status = 409, description = "the user blocks too many", body = Problem),
    ),
)]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    Path(other): Path<String>,
    Terms(whose): Terms<Whose>,
    asked: Asked,
) -> Result<StatusCode, Problem> {
    set(api, &other, &whose, &asked, true).await
}

/// Blocks a user no more.
#[utoipa::path(
    delete, path = "/v1/blocks/{user}", tag = "blocks",
    params(
        ("user" = String, Path, description = "who was blocked"),
        ("user" = Option<String>, Query, description = "who blocks; needed with the admin token"),
    ),
    responses(
        (status = 204, description = "not blocked, now or before"),
        (status = 403, description = "another user's", body = Problem),
    ),
)]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Path(other): Path<String>,
    Terms(whose): Terms<Whose>,
    asked: Asked,
) -> Result<StatusCode, Problem> {
    set(api, &other, &whose, &asked, false).await
}

async fn set(
    api: Arc<Api>,
    other: &str,
    whose: &Whose,
    asked: &Asked,
    on: bool,
) -> Result<StatusCode, Problem> {
    let other = request::user_id(other, "the path")?;
    let user = asked.caller.subject(whose.user.as_deref())?;
    if user == other {
        return Err(Problem::bad("nobody can block himself"));
    }
    asked.claim(&api).await?;
    let (device, time_ms) =
        (asked.caller.identity().map(|who| who.device.clone()), clock::now_ms());
    to_end(async move {
        let done = api.store.block(&user, &other, on, time_ms).await?;
        done.map_err(|too_many| Problem::new(Kind::Conflict, too_many.to_string()))?;
        api.forget(&[&user, &other]);
        let what = What::Block { user: other, on };
        api.control.tell(Telling { user, device, time_ms, what }).await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
