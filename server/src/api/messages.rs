//! Messages: a conversation's log by pages, and what is pinned of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use godwit_core::ids::Seq;
use godwit_core::limits::{PAGE_BYTES_MAX, PINS_MAX};
use godwit_core::store::Range;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::Caller;
use super::entry::MessageView;
use super::problem::Problem;
use super::request::{self, Terms};
use super::{Api, paging};
use crate::clock;

/// Which page. Texts, so that a wrong one is refused in our own words.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<String>,
    before: Option<String>,
    limit: Option<String>,
    order: Option<String>,
}

/// A page of a log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageList)]
pub(crate) struct List {
    /// In the order asked for, without a gap.
    messages: Vec<MessageView>,
    /// The log's head when the page was read.
    head: u64,
    /// Ask for the next page with this as `after` (with `order=desc`: as `before`); null: this is
    /// all.
    next: Option<u64>,
}

impl Page {
    fn range(&self, floor: Seq) -> Result<Range, Problem> {
        let after = request::number(self.after.as_deref(), "after", 0)?;
        let before = self.before.as_deref();
        let before = before.map(|text| request::number(Some(text), "before", 0)).transpose()?;
        let newest_first = match self.order.as_deref() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(Problem::bad("order in the query must be asc or desc")),
        };
        Ok(Range { after: Seq(after).max(floor), before: before.map(Seq), newest_first })
    }
}

/// A page of a conversation's log. A member sees what came since joining, or all of it where the
/// group's setting says so. Edits, deletions and reactions are entries of their own: a reader
/// applies them to the message at their target.
#[utoipa::path(
    get, path = "/v1/conversations/{cid}/messages", tag = "messages",
    params(
        ("cid" = String, Path, description = "the conversation's id"),
        ("after" = Option<u64>, Query, description = "entries above this place; 0: from the start"),
        ("before" = Option<u64>, Query, description = "entries below this place; absent: up to the head"),
        ("limit" = Option<u32>, Query, description = "entries of the page, 1 to 100; 100 if absent"),
        ("order" = Option<String>, Query, description = "asc (oldest first, if absent) or desc"),
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
    Terms(page): Terms<Page>,
) -> Result<Json<List>, Problem> {
    let limit = paging::limit(page.limit.as_deref())?;
    // Read first without a floor, so that what is wrong with the query is told to strangers too.
    page.range(Seq::ZERO)?;
    let (conversation, floor) = api.seen_by(&caller, &cid).await?;
    let range = page.range(floor)?;
    let read = api.store.read_log(conversation.id, range, limit, PAGE_BYTES_MAX).await?;
    let mut read = read.ok_or_else(Problem::no_conversation)?;
    if let Some(member) = caller.member(&conversation)? {
        // Asked again once they are read: whoever was removed meanwhile sees nothing that followed.
        let member = api.store.member(conversation.id, &member.user).await?;
        let visible = member.ok_or_else(Problem::no_conversation)?.visible_seq;
        read.entries.retain(|entry| entry.seq > visible);
    }
    let now_ms = clock::now_ms();
    Ok(Json(List {
        messages: read.entries.iter().map(|entry| MessageView::of(entry, now_ms)).collect(),
        head: read.head_seq.0,
        next: read
            .entries
            .last()
            .map(|last| last.seq)
            .filter(|last| more(range, *last, read.head_seq))
            .map(|seq| seq.0),
    }))
}

/// Whether the range holds more behind `last`, the last entry of a page.
fn more(range: Range, last: Seq, head: Seq) -> bool {
    if range.newest_first {
        return last > range.after.next();
    }
    let end = range.before.map_or(head, |before| head.min(Seq(before.0.saturating_sub(1))));
    last < end
}

/// The pinned messages.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pins {
    /// The entries of the pins, the last pinned first; `target` is the message. At most 100.
    pins: Vec<MessageView>,
}

/// What is pinned in a conversation and can be seen by the caller.
#[utoipa::path(
    get, path = "/v1/conversations/{cid}/pins", tag = "messages",
    params(("cid" = String, Path, description = "the conversation's id")),
    responses(
        (status = 200, description = "here they are", body = Pins),
        (status = 404, description = "none that the caller is a member of", body = Problem),
    ),
)]
pub(super) async fn pins(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(cid): Path<String>,
) -> Result<Json<Pins>, Problem> {
    let (conversation, floor) = api.seen_by(&caller, &cid).await?;
    let pins = api.store.pins(conversation.id, PINS_MAX).await?;
    let now_ms = clock::now_ms();
    let seen = pins.iter().filter(|pin| pin.target.is_some_and(|target| target > floor));
    Ok(Json(Pins { pins: seen.map(|pin| MessageView::of(pin, now_ms)).collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_range_goes_on() {
        let range = |after, before, newest_first| Range {
            after: Seq(after),
            before: Option::map(before, Seq),
            newest_first,
        };
        for (range, last, expected) in [
            (range(0, None, false), 9, true),
            (range(0, None, false), 10, false),
            (range(0, Some(10), false), 9, false),
            (range(0, Some(10), false), 8, true),
            (range(0, Some(99), false), 10, false),
            (range(0, None, true), 1, false),
            (range(0, None, true), 2, true),
            (range(4, None, true), 5, false),
            (range(4, None, true), 6, true),
        ] {
            assert_eq!(more(range, Seq(last), Seq(10)), expected, "{range:?} {last}");
        }
    }
}
