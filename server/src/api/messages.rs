//! Messages: a conversation's log by pages.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use godwit_core::entry::{Entry, EntryKind};
use godwit_core::ids::Seq;
use godwit_core::limits::PAGE_BYTES_MAX;
use godwit_core::membership::Direction;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::caller::Caller;
use super::problem::{Kind, Problem};
use super::request;
use crate::clock;
use crate::limits::PAGE_MESSAGES_MAX;

/// Which page. Texts, so that a wrong one is refused in our own words.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<String>,
    limit: Option<String>,
}

/// A page of a log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List {
    /// In sequence, without a gap.
    messages: Vec<MessageView>,
    /// The log's head when the page was read.
    head: u64,
    /// Ask for the next page with `after` set to this; null: this is all.
    next: Option<u64>,
}

/// One entry of a log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageView {
    /// 1, 2, 3 ...
    seq: u64,
    /// The message's id: 22 characters of base64url.
    mid: String,
    kind: EntryName,
    /// The sender's user id.
    from: String,
    /// The sender's device id.
    device: String,
    /// Milliseconds since 1970.
    ts: u64,
    /// Base64 with padding; empty when `body_gone`, and for changes of members.
    body: String,
    /// The body as it is, when it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The body was removed, or has expired.
    body_gone: bool,
    /// The first 8 bytes of the chain hash up to this entry, in hexadecimal digits.
    chain: String,
    /// The place that this message answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<u64>,
    /// Milliseconds since 1970 after which the body is not delivered any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    /// For changes of members only.
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<ChangeView>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EntryName {
    Message,
    Membership,
}

/// A change of members.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeView {
    change: ChangeName,
    users: Vec<String>,
    /// The group version after it.
    group_version: u64,
}

/// Which way members changed.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChangeName {
    Added,
    Removed,
}

/// A page of a conversation's log. A member sees what came since joining.
#[utoipa::path(
    get, path = "/v1/conversations/{cid}/messages", tag = "messages",
    params(
        ("cid" = String, Path, description = "the conversation's id"),
        ("after" = Option<u64>, Query, description = "entries above this place; 0: from the start"),
        ("limit" = Option<u32>, Query, description = "entries of the page, 1 to 100; 100 if absent"),
    ),
    responses(
        (status = 200, description = "here they are", body = List),
        (status = 400, description = "not understood", body = Problem),
        (status = 401, description = "no valid token", body = Problem),
        (status = 404, description = "none that the caller is a member of", body = Problem),
    ),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(cid): Path<String>,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<List>, Problem> {
    let id = request::conversation_id(&cid)?;
    let Query(page) = page.map_err(|rejection| {
        let detail = format!("{}; only after and limit are known", rejection.body_text());
        Problem::new(Kind::BadRequest, detail)
    })?;
    let after = request::number(page.after.as_deref(), "after", 0)?;
    let limit = request::number(page.limit.as_deref(), "limit", PAGE_MESSAGES_MAX.into())?;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX).clamp(1, PAGE_MESSAGES_MAX);

    let conversation = api.store.conversation(id).await?.ok_or_else(Problem::no_conversation)?;
    let joined = caller.member(&conversation)?.map_or(Seq::ZERO, |member| member.joined_seq);
    let after = Seq(after).max(joined);
    let page = api
        .store
        .read_log(id, after, limit, PAGE_BYTES_MAX)
        .await?
        .ok_or_else(Problem::no_conversation)?;
    let last = page.entries.last().map_or(after, |entry| entry.seq);
    let now_ms = clock::now_ms();
    Ok(Json(List {
        messages: page.entries.iter().map(|entry| view(entry, now_ms)).collect(),
        head: page.head_seq.0,
        next: (last < page.head_seq).then_some(last.0),
    }))
}

fn view(entry: &Entry, now_ms: u64) -> MessageView {
    let membership = entry.membership().map(|change| ChangeView {
        change: match change.direction {
            Direction::Added => ChangeName::Added,
            Direction::Removed => ChangeName::Removed,
        },
        users: change.users.iter().map(ToString::to_string).collect(),
        group_version: change.group_version,
    });
    let body: &[u8] = match entry.kind {
        EntryKind::Message if entry.is_live(now_ms) => &entry.body,
        EntryKind::Message | EntryKind::Membership => &[],
    };
    let text = std::str::from_utf8(body).ok().filter(|text| !text.is_empty()).map(str::to_owned);
    MessageView {
        seq: entry.seq.0,
        mid: entry.message_id.to_string(),
        kind: match entry.kind {
            EntryKind::Message => EntryName::Message,
            EntryKind::Membership => EntryName::Membership,
        },
        from: entry.sender.to_string(),
        device: entry.device.to_string(),
        ts: entry.time_ms,
        body: STANDARD.encode(body),
        text,
        body_gone: entry.kind == EntryKind::Message && !entry.is_live(now_ms),
        chain: entry.chain.wire().iter().fold(String::new(), |t, byte| t + &format!("{byte:02x}")),
        reply_to: entry.reply_to.map(|seq| seq.0),
        expires_ms: entry.expires_ms,
        membership,
    }
}
