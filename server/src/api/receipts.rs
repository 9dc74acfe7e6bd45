//! Receipts: how far the members have got, and how far the caller has.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use godwit_core::ids::{ConversationId, Seq, UserId};
use godwit_core::inbox::InboxQuery;
use godwit_core::receipt::{Cursors, Place, Receipt, Report};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::asked::Asked;
use super::caller::Caller;
use super::change::to_end;
use super::problem::{Kind, Problem};
use super::request::{self, Terms};
use super::{Api, paging};

/// Which page of receipts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTerms {
    cursor: Option<String>,
    limit: Option<String>,
}

/// A page of receipts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReceiptList)]
pub(crate) struct List {
    /// Ordered by user id; members who have got nowhere yet are left out.
    receipts: Vec<ReceiptView>,
    /// Present members: a message that `n` receipts reach is read by n of `members` less its sender.
    members: usize,
    /// Ask for the next page with `cursor` set to this; null: this is all.
    next: Option<String>,
}

/// How far a member has got.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Receipt)]
pub(crate) struct ReceiptView {
    user: String,
    /// Everything up to here has arrived at one of the user's devices.
    delivered: u64,
    /// Everything up to here was read; null: the user does not share it.
    read: Option<u64>,
}

/// How far the members of a conversation have got, as far as they share it.
#[utoipa::path(
    get, path = "/v1/conversations/{cid}/receipts", tag = "receipts",
    params(
        ("cid" = String, Path, description = "the conversation's id"),
        ("cursor" = Option<String>, Query, description = "next of the page before"),
        ("limit" = Option<u32>, Query, description = "receipts of the page, 1 to 100; 100 if absent"),
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
    const LIST: &str = "receipts";
    let limit = paging::limit(terms.limit.as_deref())?;
    let after = paging::place(LIST, terms.cursor.as_deref(), |text| UserId::new(text).ok())?;
    let (conversation, _) = api.seen_by(&caller, &cid).await?;
    let mut all = api.store.receipts(conversation.id).await?;
    if let Some(identity) = caller.identity().filter(|_| conversation.is_apart()) {
        // One of the two blocks the other: the caller sees no more than what is its own.
        all.retain(|receipt| receipt.user == identity.user);
    }
    let (page, last) = paging::cut(&all, after.as_ref(), limit, |receipt| &receipt.user);
    let mut receipts = Vec::with_capacity(page.len());
    for receipt in page {
        receipts.push(shared(&api, &caller, receipt).await?);
    }
    let next = last.map(|receipt| paging::next(LIST, receipt.user.as_str()));
    Ok(Json(List { receipts, members: conversation.members.len(), next }))
}

/// A member's cursors as the caller may see them: all of one's own, of others what they share.
async fn shared(api: &Api, caller: &Caller, receipt: &Receipt) -> Result<ReceiptView, Problem> {
    let own = caller.identity().is_some_and(|identity| identity.user == receipt.user);
    let shares = own || api.store.user(&receipt.user).await?.settings.share_reads;
    Ok(ReceiptView {
        user: receipt.user.to_string(),
        delivered: receipt.cursors.delivered.0,
        read: shares.then_some(receipt.cursors.read.0),
    })
}

/// How far the caller has got. Cursors never move back: a lower place changes nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReceiptReport)]
pub(crate) struct Post {
    /// Everything up to here has arrived.
    delivered: Option<u64>,
    /// Everything up to here was read, and so has arrived.
    read: Option<u64>,
}

/// The caller's cursors.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OwnReceipt)]
pub(crate) struct Own {
    delivered: u64,
    read: u64,
}

/// Reports how far the caller has got; the other members are told, as far as the caller shares it.
#[utoipa::path(
    post, path = "/v1/conversations/{cid}/receipts", tag = "receipts", request_body = Post,
    params(("cid" = String, Path, description = "the conversation's id")),
    responses(
        (status = 200, description = "the caller's cursors after it", body = Own),
        (status = 403, description = "the admin token reads nothing", body = Problem),
        (status = 404, description = "none that the caller is a member of", body = Problem),
    ),
)]
pub(super) async fn report(
    State(api): State<Arc<Api>>,
    Path(cid): Path<String>,
    asked: Asked,
) -> Result<Json<Own>, Problem> {
    let conversation = request::conversation_id(&cid)?;
    let wanted: Post = request::json(&asked.body)?;
    if wanted.delivered.is_none() && wanted.read.is_none() {
        return Err(Problem::bad("nothing to report: name delivered or read"));
    }
    let Some(identity) = asked.caller.identity() else {
        return Err(Problem::new(
            Kind::Forbidden,
            "an operator has no cursors; use a token of a device of the user",
        ));
    };
    let user = identity.user.clone();
    let place = Place {
        conversation,
        delivered: Seq(wanted.delivered.unwrap_or_default()),
        read: Seq(wanted.read.unwrap_or_default()),
    };
    asked.claim(&api).await?;
    let report = Report { user: user.clone(), places: vec![place], lenient: false };
    let control = Arc::clone(&api);
    let moved = to_end(async move { Ok(control.control.report(&report).await??) }).await?;
    let cursors = match moved.first() {
        Some(moved) => moved.now,
        None => standing(&api, &user, conversation).await?,
    };
    Ok(Json(Own { delivered: cursors.delivered.0, read: cursors.read.0 }))
}

async fn standing(
    api: &Api,
    user: &UserId,
    conversation: ConversationId,
) -> Result<Cursors, Problem> {
    let query = InboxQuery { only: Some(conversation), limit: 1, ..InboxQuery::default() };
    let page = api.store.inbox(user, &query).await?;
    page.items.first().map(|item| item.cursors).ok_or_else(Problem::no_conversation)
}
