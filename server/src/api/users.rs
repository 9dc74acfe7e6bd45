//! Users: local accounts, names, passwords. Users of other issuers need no row here.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest as _, FromRequestParts as _, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use godwit_core::change::{Ask, ChangeRequest, Refused};
use godwit_core::commit::SendKey;
use godwit_core::ids::{Identity, UserId};
use godwit_core::people::{User, UserChange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::asked::{self, Asked, Key};
use super::caller::Caller;
use super::change::to_end;
use super::etag;
use super::if_match::IfMatch;
use super::problem::{Kind, Problem};
use super::rates::origin;
use super::settings::change_user;
use super::{Api, request};
use crate::clock;
use crate::limits::PAGE_ITEMS_MAX;
use crate::secret::Secret;

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct View {
    id: String,
    /// For people.
    name: String,
    /// The user has a local account: a password.
    account: bool,
    /// When the user was first known here: milliseconds since 1970; null: nothing is kept.
    created_ms: Option<u64>,
    /// When the user was last online: milliseconds since 1970; null: not known.
    last_seen_ms: Option<u64>,
    /// Tokens of all devices issued up to then are refused: milliseconds since 1970; null: there was no
    /// such moment. A new password is one, too.
    revoked_ms: Option<u64>,
    /// No token of the user is believed until an operator lifts it.
    suspended: bool,
    /// When the user was deleted: milliseconds since 1970; null: it is there.
    deleted_ms: Option<u64>,
}

fn shown(user: &User) -> Response {
    let view = View {
        id: user.id.to_string(),
        name: user.name.clone(),
        account: user.password_hash.is_some(),
        created_ms: (user.created_ms > 0).then_some(user.created_ms),
        last_seen_ms: user.last_seen_ms,
        revoked_ms: user.revoked_ms,
        suspended: user.suspended,
        deleted_ms: user.deleted_ms,
    };
    (etag::header(&etag::of_version(user.version)), Json(view)).into_response()
}

/// The user of the path, if the caller may look: oneself, or any with the admin token.
fn own(caller: &Caller, user: &str) -> Result<UserId, Problem> {
    let user = request::user_id(user, "the path")?;
    match caller.identity() {
        Some(identity) if identity.user != user => {
            Err(Problem::new(Kind::Forbidden, "a device's token is good for its own user only"))
        }
        _ => Ok(user),
    }
}

/// An account to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewUser)]
pub(crate) struct Create {
    /// 1-64 of A-Z a-z 0-9 _ . -
    id: String,
    /// For people: at most 128 characters.
    name: Option<String>,
    #[schema(value_type = String, format = Password)]
    password: Secret,
}

/// Makes a local account. Operators may; anyone may where accounts.signup is on, for a user id that
/// nobody has used yet: that needs no token.
#[utoipa::path(
    post, path = "/v1/users", tag = "users", request_body = Create,
    security(("token" = []), ()),
    responses(
        (status = 201, description = "made", body = View, headers(
            ("Location" = String, description = "its path"),
            ("ETag" = String, description = "its state, for If-Match"),
        )),
        (status = 403, description = "accounts are off, or operators alone make them", body = Problem),
        (status = 409, description = "the user id is taken", body = Problem),
    ),
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, Problem> {
    let from = origin(request.extensions());
    let key = Key::of(&request)?;
    let (mut parts, body) = request.into_parts();
    let shows_token = parts.headers.contains_key(header::AUTHORIZATION);
    let caller = match shows_token {
        true => Some(Caller::from_request_parts(&mut parts, &api).await?),
        false => None,
    };
    let body = asked::body_of(Request::from_parts(parts, body)).await?;
    let operator = api.accounts.may_create(caller.as_ref().map(|c| c.identity().is_none()))?;
    let wanted: Create = request::json(&body)?;
    let id = request::user_id(&wanted.id, "id")?;
    request::name(wanted.name.as_deref().unwrap_or_default())?;
    api.accounts.check(&wanted.password, &id)?;
    if !operator {
        // Nothing is guessed here that is not told anyway; but a hash is work.
        api.rates.login_address(from)?;
    }
    // A stranger's keys are held apart by what they ask for: without a token there is no caller.
    let scope = caller.map_or_else(|| format!("signup {id}"), |caller| caller.scope());
    let asked = format!("{id} {}", wanted.name.as_deref().unwrap_or_default());
    key.claim(&api, &scope, asked.as_bytes()).await?;
    let known = api.store.user(&id).await?;
    if let Some(hash) = &known.password_hash {
        // Told again only to whoever could have made it.
        let again = key.is_there() && api.accounts.verify(&wanted.password, Some(hash)).await?;
        return if again { Ok(made(&known)) } else { Err(taken(&id)) };
    }
    if !operator && is_in_use(&api, &known).await? {
        return Err(taken(&id));
    }
    let change = UserChange {
        name: wanted.name,
        password_hash: Some(api.accounts.hash(&wanted.password).await?),
        ..UserChange::default()
    };
    let state = IfMatch::Tag(etag::of_version(known.version));
    match change_user(&api, id.clone(), change, &state).await {
        Ok(user) => Ok(made(&user)),
        // Somebody else was faster.
        Err(problem) if problem.is_changed() => Err(taken(&id)),
        Err(problem) => Err(problem),
    }
}

fn made(user: &User) -> Response {
    let mut response = (StatusCode::CREATED, shown(user)).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/users/{}", user.id)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

fn taken(id: &UserId) -> Problem {
    Problem::new(Kind::Conflict, format!("the user id {id} is taken; choose another"))
}

/// Whether anything is known of a user, so that a stranger must not become it.
async fn is_in_use(api: &Api, user: &User) -> Result<bool, Problem> {
    Ok(user.version > 0
        || !api.store.devices(&user.id).await?.is_empty()
        || !api.store.conversations_of(&user.id, None, 1).await?.is_empty())
}

/// A user, as far as anything is kept of it.
#[utoipa::path(
    get, path = "/v1/users/{user}", tag = "users",
    params(("user" = String, Path, description = "the user's id")),
    responses(
        (status = 200, description = "here it is", body = View, headers(
            ("ETag" = String, description = "its state, for If-Match"),
        )),
        (status = 403, description = "another user", body = Problem),
    ),
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(user): Path<String>,
) -> Result<Response, Problem> {
    let user = own(&caller, &user)?;
    Ok(shown(&api.store.user(&user).await?))
}

/// A user's new name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserPatch)]
pub(crate) struct Patch {
    /// For people: at most 128 characters; may be empty.
    name: String,
}

/// Names a user.
#[utoipa::path(
    patch, path = "/v1/users/{user}", tag = "users", request_body = Patch,
    params(
        ("user" = String, Path, description = "the user's id"),
        ("If-Match" = Option<String>, Header, description = "the ETag of the state that may be changed"),
    ),
    responses(
        (status = 200, description = "the user after it", body = View, headers(
            ("ETag" = String, description = "its state, for If-Match"),
        )),
        (status = 403, description = "another user", body = Problem),
        (status = 412, description = "it has changed meanwhile", body = Problem),
    ),
)]
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    Path(user): Path<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    let user = own(&asked.caller, &user)?;
    let wanted: Patch = request::json(&asked.body)?;
    request::name(&wanted.name)?;
    asked.claim(&api).await?;
    let change = UserChange { name: Some(wanted.name), ..UserChange::default() };
    Ok(shown(&change_user(&api, user, change, &asked.if_match).await?))
}

/// A new password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// The one so far. Needed with a device's token; not looked at with the admin token.
    #[schema(value_type = Option<String>, format = Password)]
    old: Option<Secret>,
    #[schema(value_type = String, format = Password)]
    password: Secret,
}

/// Changes the password of a local account: one's own with the old one, any with the admin token
/// (which also makes an account of a user who has none). All tokens that were given until then end with
/// it, the asking one too, and the connections that showed them: log in again.
#[utoipa::path(
    put, path = "/v1/users/{user}/password", tag = "users", request_body = NewPassword,
    params(("user" = String, Path, description = "the user's id")),
    responses(
        (status = 204, description = "changed"),
        (status = 403, description = "accounts are off, another user, or the old one is wrong", body = Problem),
        (status = 409, description = "changed by another request at the same moment", body = Problem),
    ),
)]
pub(super) async fn password(
    State(api): State<Arc<Api>>,
    Path(user): Path<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let from = origin(request.extensions());
    let asked = Asked::from_request(request, &api).await?;
    api.accounts.are_on()?;
    let user = own(&asked.caller, &user)?;
    let wanted: NewPassword = request::json(&asked.body)?;
    api.accounts.check(&wanted.password, &user)?;
    let known = api.store.user(&user).await?;
    if let Some(who) = asked.caller.identity() {
        let old = wanted.old.ok_or_else(|| Problem::bad("old is missing: the password so far"))?;
        let tried = api.rates.old_password(from, who)?;
        let stored = known.password_hash.as_deref();
        if !api.accounts.verify(&old, stored).await? {
            // A repetition finds the new one in force.
            let done = asked.has_key() && api.accounts.verify(&wanted.password, stored).await?;
            let wrong = || Problem::new(Kind::Forbidden, "old is not the password");
            return if done { Ok(StatusCode::NO_CONTENT) } else { Err(wrong()) };
        }
        tried.was_right();
    }
    asked.claim_without_body(&api).await?;
    let change = UserChange {
        password_hash: Some(api.accounts.hash(&wanted.password).await?),
        time_ms: clock::now_ms(),
        ..UserChange::default()
    };
    // Only if it is still the row whose old password was checked.
    let state = IfMatch::Tag(etag::of_version(known.version));
    match change_user(&api, user, change, &state).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(problem) if problem.is_changed() => Err(Problem::new(
            Kind::Conflict,
            "the user was changed at the same moment; nothing was done, ask again",
        )),
        Err(problem) => Err(problem),
    }
}

/// Suspends a user: connections are cut, what is kept for the devices is forgotten, and no token is
/// believed, whenever it was issued, until it is lifted. Operators only.
#[utoipa::path(
    put, path = "/v1/users/{user}/suspension", tag = "users",
    params(
        ("user" = String, Path, description = "the user's id"),
        ("If-Match" = Option<String>, Header, description = "the ETag of the state that may be changed"),
    ),
    responses(
        (status = 200, description = "the user after it", body = View),
        (status = 403, description = "not an operator", body = Problem),
        (status = 412, description = "it has changed meanwhile", body = Problem),
    ),
)]
pub(super) async fn suspend(
    State(api): State<Arc<Api>>,
    Path(user): Path<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    set_suspended(&api, &user, &asked, true).await
}

/// Lifts a suspension. Tokens issued before it stay refused; later ones are believed. Operators only.
#[utoipa::path(
    delete, path = "/v1/users/{user}/suspension", tag = "users",
    params(
        ("user" = String, Path, description = "the user's id"),
        ("If-Match" = Option<String>, Header, description = "the ETag of the state that may be changed"),
    ),
    responses(
        (status = 200, description = "the user after it", body = View),
        (status = 403, description = "not an operator", body = Problem),
        (status = 409, description = "the user was deleted", body = Problem),
        (status = 412, description = "it has changed meanwhile", body = Problem),
    ),
)]
pub(super) async fn lift(
    State(api): State<Arc<Api>>,
    Path(user): Path<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    set_suspended(&api, &user, &asked, false).await
}

async fn set_suspended(
    api: &Arc<Api>,
    user: &str,
    asked: &Asked,
    on: bool,
) -> Result<Response, Problem> {
    if asked.caller.identity().is_some() {
        return Err(Problem::new(Kind::Forbidden, "only operators suspend users"));
    }
    let user = request::user_id(user, "the path")?;
    asked.claim(api).await?;
    let known = api.store.user(&user).await?;
    if known.deleted_ms.is_some() && !on {
        return Err(Problem::new(Kind::Conflict, "the user was deleted, which is for good"));
    }
    // Asked again it is the same state: the moment of the first one counts.
    if known.suspended == on {
        return Ok(shown(&known));
    }
    let change = UserChange { suspended: Some(on), ..UserChange::default() };
    Ok(shown(&change_user(api, user, change, &asked.if_match).await?))
}

/// What others see of a user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Profile {
    id: String,
    /// For people; may be empty.
    name: String,
}

/// What others see of a user: for members of a conversation with it, the user itself and operators.
#[utoipa::path(
    get, path = "/v1/users/{user}/profile", tag = "users",
    params(("user" = String, Path, description = "the user's id")),
    responses(
        (status = 200, description = "here it is", body = Profile),
        (status = 404, description = "nobody with whom the caller shares a conversation", body = Problem),
    ),
)]
pub(super) async fn profile(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(user): Path<String>,
) -> Result<Json<Profile>, Problem> {
    let user = request::user_id(&user, "the path")?;
    let seen = match caller.identity() {
        None => true,
        Some(identity) if identity.user == user => true,
        Some(identity) => {
            let among = std::slice::from_ref(&user);
            !api.store.acquainted(&identity.user, among).await?.is_empty()
        }
    };
    if !seen {
        let detail = "no user of that id with whom the caller shares a conversation";
        return Err(Problem::new(Kind::NotFound, detail));
    }
    let known = api.store.user(&user).await?;
    Ok(Json(Profile { id: user.to_string(), name: known.name }))
}

/// Deletes a user: oneself, or any with the admin token. The user leaves all conversations (messages
/// stay, with its id), is suspended for good, and name, password, settings and devices are
/// forgotten; nobody gets its id. Direct conversations stay with the other one. A group is never without an owner: give the group on first (409).
/// What was done when it is refused or lost stays done, and the same request does the rest.
#[utoipa::path(
    delete, path = "/v1/users/{user}", tag = "users",
    params(("user" = String, Path, description = "the user's id")),
    responses(
        (status = 204, description = "deleted"),
        (status = 403, description = "another user", body = Problem),
        (status = 409, description = "the only owner of a group with other members", body = Problem),
    ),
)]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Path(user): Path<String>,
    asked: Asked,
) -> Result<StatusCode, Problem> {
    let user = own(&asked.caller, &user)?;
    asked.claim(&api).await?;
    let actor = asked.caller.identity().cloned();
    to_end(async move {
        leave_all(&api, &user, actor.as_ref()).await?;
        let change = UserChange { delete: true, ..UserChange::default() };
        change_user(&api, user, change, &IfMatch::Any).await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Takes a user out of every conversation, one change each.
async fn leave_all(api: &Arc<Api>, user: &UserId, actor: Option<&Identity>) -> Result<(), Problem> {
    let mut after = None;
    loop {
        let page = api.store.conversations_of(user, after, PAGE_ITEMS_MAX).await?;
        let Some(last) = page.last().map(|conversation| conversation.id) else { return Ok(()) };
        for conversation in &page {
            let time_ms = clock::now_ms();
            let message_id = clock::message_id(time_ms).map_err(|_| Problem::no_randomness())?;
            let request = ChangeRequest {
                conversation: conversation.id,
                actor: actor.cloned(),
                ask: Ask::Remove { users: vec![user.clone()] },
                stamp: None,
                adding: None,
                key: SendKey::Server(message_id),
                message_id,
                time_ms,
            };
            match api.control.change(&request).await? {
                // A direct conversation has two members for good; it ends with its user.
                Ok(_) | Err(Refused::Direct | Refused::NoMember(_) | Refused::Unknown) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        after = Some(last);
    }
}
