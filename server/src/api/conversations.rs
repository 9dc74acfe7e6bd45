//! Conversations: create one, look at one.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use godwit_core::ids::{ConversationId, UserId};
use godwit_core::limits::MEMBERS_MAX;
use godwit_core::membership::{Conversation, ConversationKind, NewConversation, Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::caller::Caller;
use super::problem::{Kind, Problem};
use super::request;
use crate::clock;

/// A conversation to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    /// Between two users for good, or between any number.
    kind: KindName,
    /// User ids. A caller with a device token is a member in any case. Direct: exactly two in all.
    #[schema(example = json!(["alice", "bob"]))]
    members: Vec<String>,
}

/// The kinds by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KindName {
    Direct,
    Group,
}

/// The roles by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RoleName {
    Owner,
    Member,
}

/// A conversation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct View {
    /// 22 characters of base64url.
    id: String,
    kind: KindName,
    /// The last place of its log.
    head: u64,
    /// Raised by every change of members.
    group_version: u64,
    /// Ordered by user id.
    members: Vec<MemberView>,
}

/// A member.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberView {
    user: String,
    role: RoleName,
    /// Entries above this place are the member's to see.
    joined_seq: u64,
}

impl From<&Conversation> for View {
    fn from(conversation: &Conversation) -> Self {
        Self {
            id: conversation.id.to_string(),
            kind: match conversation.kind {
                ConversationKind::Direct => KindName::Direct,
                ConversationKind::Group => KindName::Group,
            },
            head: conversation.head_seq.0,
            group_version: conversation.group_version,
            members: conversation
                .members
                .iter()
                .map(|member| MemberView {
                    user: member.user.to_string(),
                    role: match member.role {
                        Role::Owner => RoleName::Owner,
                        Role::Member => RoleName::Member,
                    },
                    joined_seq: member.joined_seq.0,
                })
                .collect(),
        }
    }
}

/// Creates a conversation with an empty log. A caller with a device token becomes a member, and
/// the owner of a group; of a group that an operator creates, the first one listed is the owner.
#[utoipa::path(
    post, path = "/v1/conversations", tag = "conversations", request_body = Create,
    responses(
        (status = 201, description = "created", body = View),
        (status = 400, description = "not understood", body = Problem),
        (status = 401, description = "no valid token", body = Problem),
    ),
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller,
    body: Bytes,
) -> Result<Response, Problem> {
    let asked: Create = request::json(&body)?;
    let members = members(&asked, &caller)?;
    let internal = |_| Problem::new(Kind::Internal, "no random id can be made now");
    let new = NewConversation {
        id: ConversationId(clock::random().map_err(internal)?),
        kind: match asked.kind {
            KindName::Direct => ConversationKind::Direct,
            KindName::Group => ConversationKind::Group,
        },
        members,
        time_ms: clock::now_ms(),
    };
    let created = api.store.create(&new).await?;
    let mut response = (StatusCode::CREATED, Json(View::from(&created))).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/conversations/{}", created.id)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// The members with their roles, owner first.
fn members(asked: &Create, caller: &Caller) -> Result<Vec<(UserId, Role)>, Problem> {
    let mut users = request::user_ids(&asked.members, "members")?;
    if let Some(identity) = caller.identity() {
        users.retain(|user| *user != identity.user);
        users.insert(0, identity.user.clone());
    }
    let wrong = match (asked.kind, users.len()) {
        (KindName::Direct, 2) => None,
        (KindName::Direct, n) => Some(format!(
            "a direct conversation has exactly two different members, not {n}; for another number \
             create a group"
        )),
        (KindName::Group, 0) => Some("members is empty; name at least one user".to_owned()),
        (KindName::Group, n) if n > MEMBERS_MAX => {
            Some(format!("a conversation has at most {MEMBERS_MAX} members, not {n}"))
        }
        (KindName::Group, _) => None,
    };
    if let Some(detail) = wrong {
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let first = if asked.kind == KindName::Group { Role::Owner } else { Role::Member };
    Ok(users
        .into_iter()
        .enumerate()
        .map(|(i, user)| (user, if i == 0 { first } else { Role::Member }))
        .collect())
}

/// A conversation with its present members.
#[utoipa::path(
    get, path = "/v1/conversations/{cid}", tag = "conversations",
    params(("cid" = String, Path, description = "the conversation's id")),
    responses(
        (status = 200, description = "here it is", body = View),
        (status = 400, description = "no id", body = Problem),
        (status = 401, description = "no valid token", body = Problem),
        (status = 404, description = "none that the caller is a member of", body = Problem),
    ),
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(cid): Path<String>,
) -> Result<Json<View>, Problem> {
    let id = request::conversation_id(&cid)?;
    let conversation = api.store.conversation(id).await?.ok_or_else(Problem::no_conversation)?;
    caller.member(&conversation)?;
    Ok(Json(View::from(&conversation)))
}
