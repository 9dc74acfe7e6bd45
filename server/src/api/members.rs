//! Members: add, remove. Each change is an entry of the log, and live devices are told of it.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use godwit_core::ids::UserId;
use godwit_core::membership::{ChangeRequest, Direction, Refused};
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::caller::Caller;
use super::conversations::View;
use super::problem::{Kind, Problem};
use super::request;
use crate::clock;

/// Users to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Add {
    /// User ids; those who are members already are left out.
    #[schema(example = json!(["carol"]))]
    users: Vec<String>,
}

/// Adds users to a group. Only its owner and operators may.
#[utoipa::path(
    post, path = "/v1/conversations/{cid}/members", tag = "members", request_body = Add,
    params(("cid" = String, Path, description = "the conversation's id")),
    responses(
        (status = 200, description = "the conversation after it", body = View),
        (status = 400, description = "not understood", body = Problem),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the caller is no owner", body = Problem),
        (status = 404, description = "none that the caller is a member of", body = Problem),
        (status = 409, description = "direct, full, or nothing to change", body = Problem),
    ),
)]
pub(super) async fn add(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(cid): Path<String>,
    body: Bytes,
) -> Result<Json<View>, Problem> {
    let asked: Add = request::json(&body)?;
    let users = request::user_ids(&asked.users, "users")?;
    if users.is_empty() {
        return Err(Problem::new(Kind::BadRequest, "users is empty; name at least one user"));
    }
    change(api, &caller, &cid, Direction::Added, users).await
}

/// Removes a user from a group. The owner and operators may; anyone may leave.
#[utoipa::path(
    delete, path = "/v1/conversations/{cid}/members/{user}", tag = "members",
    params(
        ("cid" = String, Path, description = "the conversation's id"),
        ("user" = String, Path, description = "who is removed"),
    ),
    responses(
        (status = 200, description = "the conversation after it", body = View),
        (status = 400, description = "not understood", body = Problem),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the caller is no owner", body = Problem),
        (status = 404, description = "none that the caller is a member of", body = Problem),
        (status = 409, description = "direct, or no member", body = Problem),
    ),
)]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path((cid, user)): Path<(String, String)>,
) -> Result<Json<View>, Problem> {
    let user = request::user_id(&user, "the path")?;
    change(api, &caller, &cid, Direction::Removed, vec![user]).await
}

async fn change(
    api: Arc<Api>,
    caller: &Caller,
    cid: &str,
    direction: Direction,
    users: Vec<UserId>,
) -> Result<Json<View>, Problem> {
    let now_ms = clock::now_ms();
    let internal = |_| Problem::new(Kind::Internal, "no random id can be made now");
    let asked = ChangeRequest {
        conversation: request::conversation_id(cid)?,
        actor: caller.identity().cloned(),
        direction,
        users,
        message_id: clock::message_id(now_ms).map_err(internal)?,
        time_ms: now_ms,
    };
    // In a task of its own: a caller that hangs up between the commit and the announcement must
    // not keep live devices from hearing of it.
    let task = tokio::spawn(async move {
        let (_, conversation) = api.changes.change_members(&asked).await??;
        Ok::<_, Problem>(Json(View::from(&conversation)))
    });
    task.await.unwrap_or_else(|_| {
        Err(Problem::new(Kind::Internal, "the change ended early; look at the conversation"))
    })
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let kind = match refused {
            Refused::Unknown => return Self::no_conversation(),
            Refused::Forbidden => Kind::Forbidden,
            Refused::Direct | Refused::Nothing(_) | Refused::Full { .. } => Kind::Conflict,
        };
        Self::new(kind, refused.to_string())
    }
}
