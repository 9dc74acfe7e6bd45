//! Devices: list, name, revoke.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use godwit_core::ids::{DeviceId, Identity};
use godwit_core::people::{Device, UserChange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::asked::Asked;
use super::caller::Caller;
use super::change::to_end;
use super::problem::{Kind, Problem};
use super::request::{self, Terms};
use super::settings::change_user;
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

/// A page of devices.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeviceList)]
pub(crate) struct List {
    /// Ordered by id.
    devices: Vec<View>,
    /// Ask for the next page with `cursor` set to this; null: this is all.
    next: Option<String>,
}

/// A device.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Device)]
pub(crate) struct View {
    /// The app's name for it.
    device: String,
    /// For people.
    name: String,
    /// When it was first seen: milliseconds since 1970.
    created_ms: u64,
    /// When it last connected, to about a minute: milliseconds since 1970.
    connected_ms: u64,
    /// Tokens issued up to then are refused: milliseconds since 1970; null: never revoked.
    revoked_ms: Option<u64>,
    /// No token is believed, whenever it was issued, until the device is let in again.
    barred: bool,
}

impl From<&Device> for View {
    fn from(device: &Device) -> Self {
        Self {
            device: device.id.to_string(),
            name: device.name.clone(),
            created_ms: device.created_ms,
            connected_ms: device.connected_ms,
            revoked_ms: device.revoked_ms,
            barred: device.barred,
        }
    }
}

/// The devices of a user that were ever connected (or revoked).
#[utoipa::path(
    get, path = "/v1/devices", tag = "devices",
    params(
        ("user" = Option<String>, Query, description = "whose; needed with the admin token"),
        ("cursor" = Option<String>, Query, description = "next of the page before"),
        ("limit" = Option<u32>, Query, description = "devices of the page, 1 to 100; 100 if absent"),
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
    const LIST: &str = "devices";
    let user = caller.subject(terms.user.as_deref())?;
    let limit = paging::limit(terms.limit.as_deref())?;
    let after = paging::place(LIST, terms.cursor.as_deref(), |text| DeviceId::new(text).ok())?;
    let devices = api.store.devices(&user).await?;
    let (page, last) = paging::cut(&devices, after.as_ref(), limit, |device| &device.id);
    Ok(Json(List {
        devices: page.iter().map(Into::into).collect(),
        next: last.map(|device| paging::next(LIST, device.id.as_str())),
    }))
}

/// Whose device.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    user: Option<String>,
}

fn named(asked: &Asked, whose: &Whose, device: &str) -> Result<Identity, Problem> {
    let user = asked.caller.subject(whose.user.as_deref())?;
    let device = DeviceId::new(device)
        .map_err(|error| Problem::bad(format!("the device id in the path {error}")))?;
    Ok(Identity { user, device })
}

/// A device's new name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DevicePatch)]
pub(crate) struct Patch {
    /// At most 128 characters; may be empty.
    name: String,
}

/// Names a device.
#[utoipa::path(
    patch, path = "/v1/devices/{device}", tag = "devices", request_body = Patch,
    params(
        ("device" = String, Path, description = "the device's id"),
        ("user" = Option<String>, Query, description = "whose; needed with the admin token"),
    ),
    responses(
        (status = 200, description = "the device after it", body = View),
        (status = 403, description = "another user's", body = Problem),
        (status = 404, description = "it was never seen", body = Problem),
    ),
)]
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    Path(device): Path<String>,
    Terms(whose): Terms<Whose>,
    asked: Asked,
) -> Result<Json<View>, Problem> {
    let identity = named(&asked, &whose, &device)?;
    let wanted: Patch = request::json(&asked.body)?;
    request::name(&wanted.name)?;
    asked.claim(&api).await?;
    let named = api.store.name_device(&identity, &wanted.name).await?;
    Ok(Json((&named.ok_or_else(unseen)?).into()))
}

/// Which, and how.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HowTerms {
    user: Option<String>,
    bar: Option<String>,
}

/// Revokes a device: its connection is cut at once, what is kept for it is forgotten, and its tokens
/// issued until now are refused everywhere (as are those that do not say when they were issued). A
/// token issued later lets it in again, unless it is barred: then none does, whatever it says, until
/// the bar is lifted. A device need not be known to be revoked.
#[utoipa::path(
    delete, path = "/v1/devices/{device}", tag = "devices",
    params(
        ("device" = String, Path, description = "the device's id"),
        ("user" = Option<String>, Query, description = "whose; needed with the admin token"),
        ("bar" = Option<bool>, Query, description = "true: later tokens are refused, too"),
    ),
    responses(
        (status = 200, description = "the device after it", body = View),
        (status = 403, description = "another user's", body = Problem),
        (status = 409, description = "too many revoked devices that never connected", body = Problem),
    ),
)]
pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    Path(device): Path<String>,
    Terms(how): Terms<HowTerms>,
    asked: Asked,
) -> Result<Json<View>, Problem> {
    let bar = request::flag(how.bar.as_deref(), "bar")?.then_some(true);
    let identity = named(&asked, &Whose { user: how.user }, &device)?;
    asked.claim(&api).await?;
    to_end(async move {
        let revoked = api.store.revoke_device(&identity, clock::now_ms(), bar).await?;
        let device = revoked
            .map_err(|many| Problem::new(Kind::Conflict, format!("{many}: DELETE /v1/devices")))?;
        api.revoked().await;
        Ok(Json((&device).into()))
    })
    .await
}

/// Lifts the bar of a device. Tokens issued before it was revoked stay refused; a later one lets it in.
#[utoipa::path(
    delete, path = "/v1/devices/{device}/bar", tag = "devices",
    params(
        ("device" = String, Path, description = "the device's id"),
        ("user" = Option<String>, Query, description = "whose; needed with the admin token"),
    ),
    responses(
        (status = 200, description = "the device after it", body = View),
        (status = 403, description = "another user's", body = Problem),
        (status = 404, description = "it was never seen", body = Problem),
    ),
)]
pub(super) async fn admit(
    State(api): State<Arc<Api>>,
    Path(device): Path<String>,
    Terms(whose): Terms<Whose>,
    asked: Asked,
) -> Result<Json<View>, Problem> {
    let identity = named(&asked, &whose, &device)?;
    asked.claim(&api).await?;
    to_end(async move {
        let admitted = api.store.admit_device(&identity).await?;
        let device = admitted.ok_or_else(unseen)?;
        api.revoked().await;
        Ok(Json((&device).into()))
    })
    .await
}

/// Revokes all devices of a user, the asking one too, those that nobody has seen yet included: their
/// connections are cut, what is kept for them is forgotten, and all tokens issued until now are refused.
#[utoipa::path(
    delete, path = "/v1/devices", tag = "devices",
    params(("user" = Option<String>, Query, description = "whose; needed with the admin token")),
    responses(
        (status = 204, description = "revoked"),
        (status = 403, description = "another user's", body = Problem),
    ),
)]
pub(super) async fn revoke_all(
    State(api): State<Arc<Api>>,
    Terms(whose): Terms<Whose>,
    asked: Asked,
) -> Result<StatusCode, Problem> {
    let user = asked.caller.subject(whose.user.as_deref())?;
    asked.claim(&api).await?;
    let change = UserChange { revoke: true, ..UserChange::default() };
    change_user(&api, user, change, &asked.if_match).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn unseen() -> Problem {
    Problem::new(Kind::NotFound, "no device of that id has ever been connected")
}
