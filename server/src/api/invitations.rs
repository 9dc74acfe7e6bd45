//! Invitations into groups that wait for an answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use godwit_core::limits::OFFERS_KEPT_MS;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::caller::Caller;
use super::problem::Problem;
use super::request::{RoleName, Terms};
use crate::clock;

/// Whose.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTerms {
    user: Option<String>,
}

/// All of a user's.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InvitationList)]
pub(crate) struct List {
    /// The latest first, at most 100.
    invitations: Vec<InvitationView>,
}

/// An invitation into a group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invitation)]
pub(crate) struct InvitationView {
    /// The group's id.
    conversation: String,
    /// Who invites.
    by: String,
    /// The role there.
    role: RoleName,
    /// Milliseconds since 1970; it waits for 30 days.
    time_ms: u64,
}

/// The invitations into groups that wait for a user's answer. It accepts by adding itself to the
/// group's members.
#[utoipa::path(
    get, path = "/v1/invitations", tag = "members",
    params(("user" = Option<String>, Query, description = "whose; needed with the admin token")),
    responses(
        (status = 200, description = "here they are", body = List),
        (status = 403, description = "another user's", body = Problem),
    ),
)]
pub(super) async fn invitations(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Terms(terms): Terms<ListTerms>,
) -> Result<Json<List>, Problem> {
    let user = caller.subject(terms.user.as_deref())?;
    let since_ms = clock::now_ms().saturating_sub(OFFERS_KEPT_MS);
    let offers = api.store.offers(&user, since_ms).await?;
    let invitations = offers.into_iter().map(|offer| InvitationView {
        conversation: offer.conversation.to_string(),
        by: offer.by.user.to_string(),
        role: offer.role.into(),
        time_ms: offer.time_ms,
    });
    Ok(Json(List { invitations: invitations.collect() }))
}
