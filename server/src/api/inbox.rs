//! The inbox: a user's conversations by latest activity, and the user's own marks.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use godwit_core::ids::{ConversationId, UserId};
use godwit_core::inbox::{Badge, InboxCursor, InboxQuery, Item, MarksChange, Moment, Place, Shelf};
use godwit_core::limits::MOMENT_OPEN_MAX;
use godwit_core::notice::{Telling, What};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::asked::Asked;
use super::caller::Caller;
use super::conversations::KindName;
use super::entry::{MessageView, hex};
use super::problem::Problem;
use super::request::{self, RoleName, Terms, nullable};
use super::{Api, left, paging};
use crate::clock;
use crate::limits::PREVIEW_BYTES_MAX;

/// What stands for "muted for good": the largest whole number that every JSON reader keeps exactly.
const FOR_GOOD_MS: u64 = (1 << 53) - 1;

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTerms {
    user: Option<String>,
    shelf: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

/// A page of an inbox.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InboxPage)]
pub(crate) struct List {
    /// Pinned ones first, then by latest activity.
    conversations: Vec<ItemView>,
    /// Ask for the next page with `cursor` set to this; null: this is all. All pages see the order of
    /// the first one's moment: what moves up meanwhile is neither skipped nor met twice.
    next: Option<String>,
    /// What is unread in all; on the first page only.
    badge: Option<BadgeView>,
    /// On the first page, but not of the archived ones: the conversations that the user has left in
    /// the last 30 days and is not back in, the latest first; at most 100.
    left: Vec<left::View>,
}

/// What is unread in all: of the thousand conversations with the latest activity that are not archived.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InboxBadge)]
pub(crate) struct BadgeView {
    /// Messages, in conversations that are not muted.
    unread: u64,
    /// Mentions, in muted ones too.
    mentions: u64,
    /// Conversations that are not muted with something unread, or marked so.
    conversations: u64,
}

impl From<Badge> for BadgeView {
    fn from(badge: Badge) -> Self {
        let Badge { unread, mentions, conversations } = badge;
        Self { unread, mentions, conversations }
    }
}

/// A conversation in an inbox.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InboxItem)]
pub(crate) struct ItemView {
    /// 22 characters of base64url.
    id: String,
    kind: KindName,
    /// Empty for a direct one.
    title: String,
    /// The other member of a direct one.
    peer: Option<String>,
    /// How many present members.
    members: u32,
    /// The last place of the log.
    head: u64,
    /// The first 8 bytes of the chain hash there, in hexadecimal digits.
    chain: String,
    group_version: u64,
    /// The user's own.
    role: RoleName,
    /// The user's own short name within the conversation.
    tag: u32,
    /// Entries above this place are the user's to see.
    visible_seq: u64,
    /// When it was last active: milliseconds since 1970.
    active_ms: u64,
    /// The last message, change of members or of details. An edited message has its last body.
    preview: Option<MessageView>,
    /// The preview's body is only its beginning.
    preview_cut: bool,
    /// Messages of others above the read cursor that can still be read.
    unread: u64,
    /// How many of them name the user; counted up to 1,000.
    mentions: u64,
    /// Everything up to here has arrived at one of the user's devices.
    delivered: u64,
    /// Everything up to here was read.
    read: u64,
    /// Milliseconds since 1970; null: not muted; 9007199254740991 (2^53 - 1): for good.
    muted_until_ms: Option<u64>,
    archived: bool,
    /// Since when, in milliseconds since 1970; null: not pinned.
    pinned_ms: Option<u64>,
    marked_unread: bool,
}

impl ItemView {
    fn of(item: &Item, now_ms: u64) -> Self {
        let preview =
            item.preview.as_ref().map(|entry| MessageView::cut(entry, now_ms, PREVIEW_BYTES_MAX));
        let preview_cut = preview.as_ref().is_some_and(|(_, cut)| *cut);
        Self {
            id: item.conversation.to_string(),
            kind: item.kind.into(),
            title: item.title.clone(),
            peer: item.peer.as_ref().map(ToString::to_string),
            members: item.members,
            head: item.head_seq.0,
            chain: hex(item.head_chain.wire()),
            group_version: item.group_version,
            role: item.role.into(),
            tag: item.tag,
            visible_seq: item.visible_seq.0,
            active_ms: item.active_ms,
            preview: preview.map(|(view, _)| view),
            preview_cut,
            unread: item.unread,
            mentions: item.mentions,
            delivered: item.cursors.delivered.0,
            read: item.cursors.read.0,
            muted_until_ms: item.marks.muted_until_ms.map(|ms| ms.min(FOR_GOOD_MS)),
            archived: item.marks.archived,
            pinned_ms: item.marks.pinned_ms,
            marked_unread: item.marks.marked_unread,
        }
    }
}

/// A place between two pages, as text and back: how it stands (0, 1: pinned, 2: has moved), activity,
/// conversation, the moment's end, and how far below it each number was that was open then.
fn written(cursor: InboxCursor) -> String {
    let InboxCursor { place, moment } = cursor;
    let how = if place.stands { u8::from(place.pinned) } else { 2 };
    let mut text = format!("{how} {} {} {}", place.active_ms, place.conversation, moment.end);
    for number in moment.open {
        text.push_str(&format!(" {}", moment.end.saturating_sub(number)));
    }
    text
}

fn read(text: &str) -> Option<InboxCursor> {
    let mut parts = text.split(' ');
    let how = parts.next()?;
    let (active_ms, conversation) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let place = match how {
        "0" | "1" => Place { stands: true, pinned: how == "1", active_ms, conversation },
        "2" => Place::moved(conversation),
        _ => return None,
    };
    let end: u64 = parts.next()?.parse().ok()?;
    let open = parts.by_ref().take(MOMENT_OPEN_MAX);
    let open = open.map(|below| end.checked_sub(below.parse().ok()?)).collect::<Option<_>>()?;
    parts.next().is_none().then_some(InboxCursor { place, moment: Moment { end, open } })
}

/// The conversations of a user, pinned ones first, then by latest activity.
#[utoipa::path(
    get, path = "/v1/inbox", tag = "inbox",
    params(
        ("user" = Option<String>, Query, description = "whose; needed with the admin token"),
        ("shelf" = Option<String>, Query, description = "open (not archived, if absent), archived, or all"),
        ("cursor" = Option<String>, Query, description = "next of the page before"),
        ("limit" = Option<u32>, Query, description = "conversations of the page, 1 to 100; 100 if absent"),
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
    const LIST: &str = "inbox";
    let user = caller.subject(terms.user.as_deref())?;
    let limit = paging::limit(terms.limit.as_deref())?;
    let shelf = match terms.shelf.as_deref() {
        None | Some("open") => Shelf::Open,
        Some("archived") => Shelf::Archived,
        Some("all") => Shelf::All,
        Some(_) => return Err(Problem::bad("shelf in the query must be open, archived or all")),
    };
    let after = paging::place(LIST, terms.cursor.as_deref(), read)?;
    let now_ms = clock::now_ms();
    let query = InboxQuery { shelf, after, only: None, limit, now_ms };
    let page = api.store.inbox(&user, &query).await?;
    let badge = match query.after {
        None => Some(api.store.badge(&user, now_ms).await?.into()),
        Some(_) => None,
    };
    Ok(Json(List {
        next: page.next.map(|place| paging::next(LIST, &written(place))),
        conversations: page.items.iter().map(|item| ItemView::of(item, now_ms)).collect(),
        badge,
        left: left::beside(&api, &user, &query, now_ms).await?,
    }))
}

/// Whose inbox.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    user: Option<String>,
}

/// One conversation as it stands in a user's inbox.
#[utoipa::path(
    get, path = "/v1/inbox/{cid}", tag = "inbox",
    params(
        ("cid" = String, Path, description = "the conversation's id"),
        ("user" = Option<String>, Query, description = "whose; needed with the admin token"),
    ),
    responses(
        (status = 200, description = "here it is", body = ItemView),
        (status = 403, description = "another user's", body = Problem),
        (status = 404, description = "none that the user is a member of", body = Problem),
    ),
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(cid): Path<String>,
    Terms(whose): Terms<Whose>,
) -> Result<Json<ItemView>, Problem> {
    let conversation = request::conversation_id(&cid)?;
    let user = caller.subject(whose.user.as_deref())?;
    item(&api, &user, conversation).await
}

async fn item(
    api: &Api,
    user: &UserId,
    conversation: ConversationId,
) -> Result<Json<ItemView>, Problem> {
    let now_ms = clock::now_ms();
    let only = Some(conversation);
    let query = InboxQuery { only, limit: 1, now_ms, ..InboxQuery::default() };
    let page = api.store.inbox(user, &query).await?;
    let item = page.items.first().ok_or_else(Problem::no_conversation)?;
    Ok(Json(ItemView::of(item, now_ms)))
}

/// New marks; what is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InboxPatch)]
pub(crate) struct Patch {
    /// Milliseconds since 1970; null: not muted any more; 9007199254740991 or more: for good.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u64>)]
    muted_until_ms: Option<Option<u64>>,
    /// Stays so when a message comes.
    archived: Option<bool>,
    /// Shown on top.
    pinned: Option<bool>,
    /// Shown as unread until it is read again.
    marked_unread: Option<bool>,
}

impl Patch {
    fn change(self, now_ms: u64) -> MarksChange {
        MarksChange {
            muted_until_ms: self
                .muted_until_ms
                .map(|until| until.map(|ms| if ms >= FOR_GOOD_MS { u64::MAX } else { ms })),
            archived: self.archived,
            pinned_ms: self.pinned.map(|pinned| pinned.then_some(now_ms)),
            marked_unread: self.marked_unread,
        }
    }
}

/// Mutes, archives, pins, or marks a conversation as unread, for the user alone.
#[utoipa::path(
    patch, path = "/v1/inbox/{cid}", tag = "inbox", request_body = Patch,
    params(
        ("cid" = String, Path, description = "the conversation's id"),
        ("user" = Option<String>, Query, description = "whose; needed with the admin token"),
    ),
    responses(
        (status = 200, description = "the conversation as it stands after it", body = ItemView),
        (status = 403, description = "another user's", body = Problem),
        (status = 404, description = "none that the user is a member of", body = Problem),
    ),
)]
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    Path(cid): Path<String>,
    Terms(whose): Terms<Whose>,
    asked: Asked,
) -> Result<Json<ItemView>, Problem> {
    let conversation = request::conversation_id(&cid)?;
    let user = asked.caller.subject(whose.user.as_deref())?;
    let change = request::json::<Patch>(&asked.body)?.change(clock::now_ms());
    if change == MarksChange::default() {
        return Err(Problem::bad(
            "nothing to change: name muted_until_ms, archived, pinned or marked_unread",
        ));
    }
    asked.claim(&api).await?;
    let marks = api.store.change_marks(&user, conversation, &change).await?;
    let marks = marks.ok_or_else(Problem::no_conversation)?;
    let telling = Telling {
        user: user.clone(),
        device: asked.caller.identity().map(|who| who.device.clone()),
        time_ms: clock::now_ms(),
        what: What::Marks { conversation, marks },
    };
    api.control.tell(telling).await?;
    item(&api, &user, conversation).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back() {
        let id = ConversationId([9; 16]);
        let stands = Place { stands: true, pinned: true, active_ms: 7, conversation: id };
        for (place, open) in [(stands, vec![]), (Place::moved(id), vec![3, 80_000])] {
            let cursor = InboxCursor { place, moment: Moment { end: 100_000, open } };
            assert_eq!(read(&written(cursor.clone())), Some(cursor));
        }
        let long = format!("1 7 AAAAAAAAAAAAAAAAAAAAAA 9{}", " 1".repeat(MOMENT_OPEN_MAX + 1));
        for bad in [
            "",
            "1",
            "1 7 AAAAAAAAAAAAAAAAAAAAAA",
            "3 7 AAAAAAAAAAAAAAAAAAAAAA 7",
            "1 7 AAAAAAAAAAAAAAAAAAAAAA 7 x",
            "1 7 AAAAAAAAAAAAAAAAAAAAAA 7 8",
            &long,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn null_is_not_the_same_as_absent() {
        let change = |json: &str| serde_json::from_str::<Patch>(json).unwrap().change(5);
        assert_eq!(change("{}"), MarksChange::default());
        assert_eq!(change(r#"{"muted_until_ms":null}"#).muted_until_ms, Some(None));
        let long = change(r#"{"muted_until_ms":9007199254740991,"pinned":true}"#);
        assert_eq!((long.muted_until_ms, long.pinned_ms), (Some(Some(u64::MAX)), Some(Some(5))));
        assert_eq!(change(r#"{"pinned":false}"#).pinned_ms, Some(None));
        for bad in [r#"{"muted_until_ms":-1}"#, r#"{"archived":null,"x":1}"#, r#"{"pinned":5}"#] {
            assert!(serde_json::from_str::<Patch>(bad).is_err(), "{bad}");
        }
    }
}
