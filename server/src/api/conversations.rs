//! Conversations: create, list, look at, change their details.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use godwit_core::change::{Ask, DetailsChange, Refused, check_details};
use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, Identity, Seq, UserId};
use godwit_core::limits::MEMBERS_MAX;
use godwit_core::membership::{
    Conversation, ConversationKind, Details, Founding, NewConversation, Role,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::asked::Asked;
use super::caller::Caller;
use super::change::{self, Changed, change};
use super::entry::{MessageView, hex};
use super::problem::Problem;
use super::request::{self, HistoryName, RoleName, Terms, nullable};
use super::{Api, etag, paging};
use crate::clock;

/// A conversation to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewConversation)]
pub(crate) struct Create {
    /// Between two users for good, or between any number.
    kind: KindName,
    /// User ids. A caller with a device token is a member in any case. Direct: two in all, or oneself
    /// alone.
    #[schema(example = json!(["alice", "bob"]))]
    members: Vec<String>,
    /// Of a group: at most 128 characters.
    title: Option<String>,
    /// Of a group: at most 1024 characters.
    description: Option<String>,
    /// Of a group: what newcomers see of what was before; from-join if absent.
    history: Option<HistoryName>,
    /// Seconds after which messages disappear; absent, null or 0: they stay.
    expiry_s: Option<u32>,
}

/// The kinds by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ConversationKind)]
pub(crate) enum KindName {
    Direct,
    Group,
}

/// A conversation with its present members.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Conversation)]
pub(crate) struct View {
    #[serde(flatten)]
    summary: Summary,
    /// Ordered by user id.
    members: Vec<MemberView>,
    /// In the answer to a change: the entry of the log that tells of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<MessageView>,
}

/// A conversation without its members.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConversationSummary)]
pub(crate) struct Summary {
    /// 22 characters of base64url.
    id: String,
    kind: KindName,
    /// The last place of its log.
    head: u64,
    /// The first 8 bytes of the chain hash there, in hexadecimal digits.
    chain: String,
    /// Raised by every change of members or roles.
    group_version: u64,
    /// Empty for a direct one.
    title: String,
    /// Empty for a direct one.
    description: String,
    history: HistoryName,
    /// Seconds after which messages disappear; null: they stay.
    expiry_s: Option<u32>,
    /// The last entry that changed any of these; 0: none yet.
    details_seq: u64,
    /// How many messages its log holds.
    messages: u64,
    /// When it was last active, or created: milliseconds since 1970.
    active_ms: u64,
}

/// A member.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
pub(crate) struct MemberView {
    pub(super) user: String,
    pub(super) role: RoleName,
    /// Entries above this place are delivered to the member.
    pub(super) joined_seq: u64,
    /// Entries above this place are the member's to see.
    pub(super) visible_seq: u64,
    /// A short name within the conversation, never given twice.
    pub(super) tag: u32,
}

impl From<&godwit_core::membership::Member> for MemberView {
    fn from(member: &godwit_core::membership::Member) -> Self {
        Self {
            user: member.user.to_string(),
            role: member.role.into(),
            joined_seq: member.joined_seq.0,
            visible_seq: member.visible_seq.0,
            tag: member.tag,
        }
    }
}

impl From<&Conversation> for Summary {
    fn from(conversation: &Conversation) -> Self {
        let details = &conversation.details;
        Self {
            id: conversation.id.to_string(),
            kind: conversation.kind.into(),
            head: conversation.head_seq.0,
            chain: hex(conversation.head_chain.wire()),
            group_version: conversation.group_version,
            title: details.title.clone(),
            description: details.description.clone(),
            history: details.history.into(),
            expiry_s: details.expiry_s,
            details_seq: details.changed_seq.0,
            messages: conversation.number,
            active_ms: conversation.active_ms,
        }
    }
}

impl From<ConversationKind> for KindName {
    fn from(kind: ConversationKind) -> Self {
        match kind {
            ConversationKind::Direct => Self::Direct,
            ConversationKind::Group => Self::Group,
        }
    }
}

/// A conversation with its ETag; after a change with the entry that tells of it.
pub(super) fn shown(conversation: &Conversation, entry: Option<&Entry>) -> Response {
    let view = View {
        summary: conversation.into(),
        members: conversation.members.iter().map(Into::into).collect(),
        entry: entry.map(|entry| MessageView::of(entry, clock::now_ms())),
    };
    (etag::header(&etag::of_stamp(conversation.stamp())), Json(view)).into_response()
}

/// Creates a conversation; the first entry of its log tells of it. Between two users there is one
/// direct conversation: creating it again, by either, answers it as it is (200). A caller with a device token becomes a member, and
/// the owner of a group; of a group that an operator creates, the first one listed is the owner.
#[utoipa::path(
    post, path = "/v1/conversations", tag = "conversations", request_body = Create,
    responses(
        (status = 201, description = "created", body = View, headers(
            ("Location" = String, description = "its path"),
            ("ETag" = String, description = "its state, for If-Match"),
        )),
        (status = 200, description = "the direct conversation that was there already", body = View),
        (status = 403, description = "a member named cannot be asked by the caller", body = Problem),
    ),
)]
pub(super) async fn create(State(api): State<Arc<Api>>, asked: Asked) -> Result<Response, Problem> {
    let wanted: Create = request::json(&asked.body)?;
    let members = members(&wanted, &asked.caller)?;
    let details = details(&wanted)?;
    let time_ms = clock::now_ms();
    let message_id = clock::message_id(time_ms).map_err(|_| Problem::no_randomness())?;
    let by = asked.caller.identity().cloned().unwrap_or_else(Identity::operator);
    let new = NewConversation {
        id: asked.claim(&api).await?.conversation()?,
        kind: match wanted.kind {
            KindName::Direct => ConversationKind::Direct,
            KindName::Group => ConversationKind::Group,
        },
        members,
        details,
        time_ms,
        founding: Some(Founding { by, message_id }),
    };
    let asked_for = new.id;
    let creator = asked.caller.identity().map(|identity| identity.user.clone());
    let created =
        change::to_end(async move { Ok(api.control.create(&new, creator.as_ref()).await??) })
            .await?;
    let status = if created.id == asked_for { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = (status, shown(&created, None)).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/conversations/{}", created.id)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// The members with their roles, owner first.
fn members(wanted: &Create, caller: &Caller) -> Result<Vec<(UserId, Role)>, Problem> {
    let mut users = request::user_ids(&wanted.members, "members")?;
    if let Some(identity) = caller.identity() {
        users.retain(|user| *user != identity.user);
        users.insert(0, identity.user.clone());
    }
    let wrong = match (wanted.kind, users.len()) {
        (KindName::Direct, 1 | 2) => None,
        (KindName::Direct, n) => Some(format!(
            "a direct conversation is between two users, or with oneself, not of {n}; for another \
             number create a group"
        )),
        (KindName::Group, 0) => Some("members is empty; name at least one user".to_owned()),
        (KindName::Group, n) if n > MEMBERS_MAX => {
            Some(format!("a conversation has at most {MEMBERS_MAX} members, not {n}"))
        }
        (KindName::Group, _) => None,
    };
    if let Some(detail) = wrong {
        return Err(Problem::bad(detail));
    }
    let first = if wanted.kind == KindName::Group { Role::Owner } else { Role::Member };
    Ok(users
        .into_iter()
        .enumerate()
        .map(|(i, user)| (user, if i == 0 { first } else { Role::Member }))
        .collect())
}

fn details(wanted: &Create) -> Result<Details, Problem> {
    let named = wanted.title.is_some() || wanted.description.is_some() || wanted.history.is_some();
    if wanted.kind == KindName::Direct && named {
        return Err(Problem::bad(
            "a direct conversation has no title, description or history setting",
        ));
    }
    let set = DetailsChange {
        title: wanted.title.clone(),
        description: wanted.description.clone(),
        history: wanted.history.map(Into::into),
        expiry_s: wanted.expiry_s,
        ..DetailsChange::default()
    };
    check_details(&set)?;
    Ok(Details {
        title: set.title.unwrap_or_default(),
        description: set.description.unwrap_or_default(),
        history: set.history.unwrap_or_default(),
        expiry_s: set.expiry_s.filter(|s| *s > 0),
        ..Details::default()
    })
}

/// Which page of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTerms {
    user: Option<String>,
    peer: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

/// A page of conversations.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConversationList)]
pub(crate) struct List {
    /// Ordered by id.
    conversations: Vec<Summary>,
    /// Ask for the next page with `cursor` set to this; null: this is all.
    next: Option<String>,
}

/// The caller's conversations, ordered by id; with `peer` the direct one with that user alone, if
/// there is one. By latest activity: see the inbox.
#[utoipa::path(
    get, path = "/v1/conversations", tag = "conversations",
    params(
        ("user" = Option<String>, Query, description = "whose; needed with the admin token"),
        ("peer" = Option<String>, Query, description = "only the direct conversation with this user"),
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
    const LIST: &str = "conversations";
    let user = caller.subject(terms.user.as_deref())?;
    let limit = paging::limit(terms.limit.as_deref())?;
    if let Some(peer) = &terms.peer {
        let peer = request::user_id(peer, "peer")?;
        let id = api.store.direct(&user, &peer).await?;
        let found = match id {
            Some(id) => api.store.conversation(id).await?,
            None => None,
        };
        let conversations = found.iter().map(Into::into).collect();
        return Ok(Json(List { conversations, next: None }));
    }
    let after: Option<ConversationId> =
        paging::place(LIST, terms.cursor.as_deref(), |text| text.parse().ok())?;
    let found = api.store.conversations_of(&user, after, limit).await?;
    let full = found.len() >= limit as usize;
    let next = found.last().filter(|_| full).map(|last| paging::next(LIST, &last.id.to_string()));
    Ok(Json(List { conversations: found.iter().map(Into::into).collect(), next }))
}

/// A conversation with its present members.
#[utoipa::path(
    get, path = "/v1/conversations/{cid}", tag = "conversations",
    params(("cid" = String, Path, description = "the conversation's id")),
    responses(
        (status = 200, description = "here it is", body = View, headers(
            ("ETag" = String, description = "its state, for If-Match"),
        )),
        (status = 404, description = "none that the caller is a member of", body = Problem),
    ),
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(cid): Path<String>,
) -> Result<Response, Problem> {
    let (conversation, _) = api.seen_by(&caller, &cid).await?;
    Ok(shown(&conversation, None))
}

/// New details; what is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConversationPatch)]
pub(crate) struct Patch {
    /// Of a group: at most 128 characters.
    title: Option<String>,
    /// Of a group: at most 1024 characters.
    description: Option<String>,
    /// Of a group: for those who join from now on.
    history: Option<HistoryName>,
    /// Seconds after which messages disappear; null or 0: they stay.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>)]
    expiry_s: Option<Option<u32>>,
    /// The place up to which the caller knows the log: what was written above it is overwritten all
    /// the same, and the entry says so (`concurrent`), so that its writer learns of it.
    based_on: Option<u64>,
}

/// Changes title, description and settings. Without If-Match the last writer wins, for each field by
/// itself; with If-Match a conversation that has changed meanwhile refuses (412). What is so already
/// changes nothing, and is answered with the conversation as it is.
#[utoipa::path(
    patch, path = "/v1/conversations/{cid}", tag = "conversations", request_body = Patch,
    params(
        ("cid" = String, Path, description = "the conversation's id"),
        ("If-Match" = Option<String>, Header, description = "the ETag of the state that may be changed"),
    ),
    responses(
        (status = 200, description = "the conversation after it", body = View, headers(
            ("ETag" = String, description = "its state, for If-Match"),
        )),
        (status = 403, description = "the caller's role lacks it", body = Problem),
        (status = 404, description = "none that the caller is a member of", body = Problem),
        (status = 412, description = "it has changed meanwhile", body = Problem),
    ),
)]
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    Path(cid): Path<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    let wanted: Patch = request::json(&asked.body)?;
    let set = DetailsChange {
        title: wanted.title,
        description: wanted.description,
        history: wanted.history.map(Into::into),
        expiry_s: wanted.expiry_s.map(Option::unwrap_or_default),
        ..DetailsChange::default()
    };
    if set == DetailsChange::default() {
        return Err(Problem::bad(
            "nothing to change: name title, description, history or expiry_s",
        ));
    }
    let ask = Ask::Details { set, based_on: wanted.based_on.map(Seq) };
    match change(&api, &asked, &cid, ask).await? {
        Err(Refused::Nothing(_)) => {
            let (conversation, _) = api.seen_by(&asked.caller, &cid).await?;
            Ok(shown(&conversation, None))
        }
        changed => answer(changed),
    }
}

/// The answer to a change.
pub(super) fn answer(changed: Changed) -> Result<Response, Problem> {
    let (entry, conversation) = changed?;
    Ok(shown(&conversation, entry.as_ref()))
}
