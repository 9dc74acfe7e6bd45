//! Devices: list, name, revoke.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use godwit_core::bus::Signal;
use godwit_core::ids::{DeviceId, Identity};
use godwit_core::people::Device;
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
}

impl From<&Device> for View {
    fn from(device: &Device) -> Self {
        Self {
            device: device.id.to_string(),
            name: device.name.clone(),
            created_ms: device.created_ms,
            connected_ms: device.connected_ms,
            revoked_ms: device.revoked_ms,
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
    let named = named.ok_or_else(|| {
        Problem::new(Kind::NotFound, "no device of that id has ever been connected")
    })?;
    Ok(Json((&named).into()))
}

/// Revokes a device: its connection is cut at once, what is kept for it is forgotten, and its tokens
/// issued until now are refused everywhere (as are those that do not say when they were issued). A
/// token issued later lets it in again. A device need not be known to be revoked.
#[utoipa::path(
    delete, path = "/v1/devices/{device}", tag = "devices",
    params(
        ("device" = String, Path, description = "the device's id"),
        ("user" = Option<String>, Query, description = "whose; needed with the admin token"),
    ),
    responses(
        (status = 200, description = "the device after it", body = View),
        (status = 403, description = "another user's", body = Problem),
    ),
)]
pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    Path(device): Path<String>,
    Terms(whose): Terms<Whose>,
    asked: Asked,
) -> Result<Json<View>, Problem> {
    let identity = named(&asked, &whose, &device)?;
    asked.claim(&api).await?;
    to_end(async move {
        let time_ms = clock::now_ms();
        let device = api.store.revoke_device(&identity, time_ms).await?;
        let time_ms = device.revoked_ms.unwrap_or(time_ms);
        api.announce.signal(&[Signal::Revoked { device: identity, time_ms }]);
        Ok(Json((&device).into()))
    })
    .await
}
