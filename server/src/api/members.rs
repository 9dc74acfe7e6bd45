//! Members: list, add, give another role, remove, transfer the ownership. Each change is an entry of
//! the log, and live devices are told of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use godwit_core::change::{Ask, Refused};
use godwit_core::ids::{Seq, UserId};
use godwit_core::membership::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::asked::Asked;
use super::caller::Caller;
use super::change::change;
use super::conversations::{self, MemberView, View};
use super::problem::Problem;
use super::request::{self, RoleName, Terms};
use super::{Api, paging};

/// Which page of members.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTerms {
    cursor: Option<String>,
    limit: Option<String>,
    history: Option<String>,
}

/// A page of members.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MemberList)]
pub(crate) struct List {
    /// Ordered by user id; with `history` by the place where they joined.
    members: Vec<StayView>,
    /// Ask for the next page with `cursor` set to this; null: this is all.
    next: Option<String>,
}

/// A member, or a stay that is over.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stay)]
pub(crate) struct StayView {
    #[serde(flatten)]
    member: MemberView,
    /// The entry that tells of the end; absent: present.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_seq: Option<u64>,
}

/// The members of a conversation; with `history=true` all stays, also those that are over.
#[utoipa::path(
    get, path = "/v1/conversations/{cid}/members", tag = "members",
    params(
        ("cid" = String, Path, description = "the conversation's id"),
        ("history" = Option<bool>, Query, description = "also those who have left"),
        ("cursor" = Option<String>, Query, description = "next of the page before"),
        ("limit" = Option<u32>, Query, description = "members of the page, 1 to 100; 100 if absent"),
    ),
    responses(
        (status = 200, description = "here they are", body = List),
        (status = 404, description = "none that the caller is a member of", body = Problem),
    ),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(cid): Path<String>,
    Terms(terms): Terms<ListTerms>,
) -> Result<Json<List>, Problem> {
    let limit = paging::limit(terms.limit.as_deref())?;
    let cursor = terms.cursor.as_deref();
    if request::flag(terms.history.as_deref(), "history")? {
        return stays(&api, &caller, &cid, cursor, limit).await;
    }
    const LIST: &str = "members";
    let after = paging::place(LIST, cursor, |text| UserId::new(text).ok())?;
    let (conversation, _) = api.seen_by(&caller, &cid).await?;
    let (page, last) = paging::cut(&conversation.members, after.as_ref(), limit, |m| &m.user);
    let members =
        page.iter().map(|member| StayView { member: member.into(), left_seq: None }).collect();
    Ok(Json(List { members, next: last.map(|member| paging::next(LIST, member.user.as_str())) }))
}

async fn stays(
    api: &Api,
    caller: &Caller,
    cid: &str,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Json<List>, Problem> {
    const LIST: &str = "stays";
    let after = paging::place(LIST, cursor, |text| {
        let (seq, user) = text.split_once(' ')?;
        Some((Seq(seq.parse().ok()?), UserId::new(user).ok()?))
    })?;
    let (conversation, _) = api.seen_by(caller, cid).await?;
    let stays = api.store.stays(conversation.id, after, limit).await?;
    let full = stays.len() >= limit as usize;
    let next = stays.last().filter(|_| full).map(|stay| {
        paging::next(LIST, &format!("{} {}", stay.member.joined_seq, stay.member.user))
    });
    let members = stays
        .iter()
        .map(|stay| StayView {
            member: (&stay.member).into(),
            left_seq: stay.left_seq.map(|seq| seq.0),
        })
        .collect();
    Ok(Json(List { members, next }))
}

/// Users to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AddMembers)]
pub(crate) struct Add {
    /// User ids, at most 1000; those who are members already are left out.
    #[schema(example = json!(["carol"]))]
    users: Vec<String>,
    /// Their role, any but owner; member if absent.
    role: Option<RoleName>,
}

/// Adds users to a group. Its owners, admins and operators may. Where the server's policy says so, whoever
/// is added by a user is invited instead, and accepts by adding itself.
#[utoipa::path(
    post, path = "/v1/conversations/{cid}/members", tag = "members", request_body = Add,
    params(
        ("cid" = String, Path, description = "the conversation's id"),
        ("If-Match" = Option<String>, Header, description = "the ETag of the state that may be changed"),
    ),
    responses(
        (status = 200, description = "the conversation after it", body = View),
        (status = 403, description = "the caller's role lacks it, or one added blocks the caller", body = Problem),
        (status = 404, description = "none that the caller is a member of", body = Problem),
        (status = 409, description = "direct, full, or nothing to change", body = Problem),
        (status = 412, description = "it has changed meanwhile", body = Problem),
    ),
)]
pub(super) async fn add(
    State(api): State<Arc<Api>>,
    Path(cid): Path<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    let wanted: Add = request::json(&asked.body)?;
    let users = request::user_ids(&wanted.users, "users")?;
    if users.is_empty() {
        return Err(Problem::bad("users is empty; name at least one user"));
    }
    let role = wanted.role.map_or(Role::Member, Into::into);
    conversations::answer(change(&api, &asked, &cid, Ask::Add { users, role }).await?)
}

/// A member's new role.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MemberPatch)]
pub(crate) struct Patch {
    role: RoleName,
}

/// Gives a member another role. Owners may; admins between member and read-only. The role that it
/// has already changes nothing, and is answered with the conversation as it is.
#[utoipa::path(
    patch, path = "/v1/conversations/{cid}/members/{user}", tag = "members", request_body = Patch,
    params(
        ("cid" = String, Path, description = "the conversation's id"),
        ("user" = String, Path, description = "whose role"),
        ("If-Match" = Option<String>, Header, description = "the ETag of the state that may be changed"),
    ),
    responses(
        (status = 200, description = "the conversation after it", body = View),
        (status = 403, description = "the caller's role lacks it", body = Problem),
        (status = 404, description = "no such conversation, or no such member", body = Problem),
        (status = 409, description = "direct, or the last owner", body = Problem),
        (status = 412, description = "it has changed meanwhile", body = Problem),
    ),
)]
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    Path((cid, user)): Path<(String, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    let user = request::user_id(&user, "the path")?;
    let wanted: Patch = request::json(&asked.body)?;
    let ask = Ask::Roles { roles: vec![(user, wanted.role.into())] };
    match change(&api, &asked, &cid, ask).await? {
        Err(Refused::Nothing(_)) => {
            let (conversation, _) = api.seen_by(&asked.caller, &cid).await?;
            Ok(conversations::shown(&conversation, None))
        }
        changed => conversations::answer(changed),
    }
}

/// Removes a user from a group. Owners, admins and operators may, but only owners an admin or an
/// owner; anyone may leave.
#[utoipa::path(
    delete, path = "/v1/conversations/{cid}/members/{user}", tag = "members",
    params(
        ("cid" = String, Path, description = "the conversation's id"),
        ("user" = String, Path, description = "who is removed"),
        ("If-Match" = Option<String>, Header, description = "the ETag of the state that may be changed"),
    ),
    responses(
        (status = 200, description = "the conversation after it", body = View),
        (status = 403, description = "the caller's role lacks it", body = Problem),
        (status = 404, description = "none that the caller is a member of", body = Problem),
        (status = 409, description = "direct, no member, or the last owner", body = Problem),
        (status = 412, description = "it has changed meanwhile", body = Problem),
    ),
)]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Path((cid, user)): Path<(String, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    let users = vec![request::user_id(&user, "the path")?];
    conversations::answer(change(&api, &asked, &cid, Ask::Remove { users }).await?)
}

/// To whom.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transfer {
    /// A member, who becomes an owner.
    to: String,
}

/// Transfers the ownership of a group: the caller, an owner, becomes an admin. An operator transfers
/// from all owners.
#[utoipa::path(
    post, path = "/v1/conversations/{cid}/transfer", tag = "members", request_body = Transfer,
    params(
        ("cid" = String, Path, description = "the conversation's id"),
        ("If-Match" = Option<String>, Header, description = "the ETag of the state that may be changed"),
    ),
    responses(
        (status = 200, description = "the conversation after it", body = View),
        (status = 403, description = "the caller is no owner", body = Problem),
        (status = 404, description = "no such conversation, or no such member", body = Problem),
        (status = 409, description = "direct, or nothing to change", body = Problem),
        (status = 412, description = "it has changed meanwhile", body = Problem),
    ),
)]
pub(super) async fn transfer(
    State(api): State<Arc<Api>>,
    Path(cid): Path<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    let wanted: Transfer = request::json(&asked.body)?;
    let to = request::user_id(&wanted.to, "to")?;
    conversations::answer(change(&api, &asked, &cid, Ask::Transfer { to }).await?)
}
