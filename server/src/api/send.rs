//! Sending: a message over REST goes the way of a device's send.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use godwit_core::bus::Post;
use godwit_core::commit::{Act, NO_MEMBER, SendKey};
use godwit_core::edge::{Code, Detail, Outcome};
use godwit_core::ids::{ConversationId, DeviceId, Identity, Seq};
use godwit_core::limits::MENTIONS_MAX;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::asked::Asked;
use super::change::to_end;
use super::problem::{Kind, Problem};
use super::request::{self, Terms};
use crate::clock;

/// The device that stands in the log for what an app's own server sends for a user.
const SERVERS_DEVICE: &str = "rest";

/// A message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMessage)]
pub(crate) struct Create {
    /// The body as text. Either this or `body`.
    text: Option<String>,
    /// The body in base64, for what is not text.
    body: Option<String>,
    /// The place that it answers.
    reply_to: Option<u64>,
    /// User ids that it mentions: at most 50.
    #[serde(default)]
    mentions: Vec<String>,
    /// Seconds after which the body is not delivered any more and is removed; at least 1. The
    /// conversation's own setting may be shorter.
    expiry_s: Option<u32>,
    /// The conversation stays unread up to it; if absent or false, the message marks it read, for its
    /// sender.
    #[serde(default)]
    keep_unread: bool,
    /// Refused (409) when the conversation's group version is another.
    group_version: Option<u64>,
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SentMessage)]
pub(crate) struct Sent {
    conversation: String,
    /// The message's id: 22 characters of base64url.
    mid: String,
    /// Its place.
    seq: u64,
    /// An earlier request with the same Idempotency-Key had sent it.
    duplicate: bool,
}

/// Who sends, where an operator asks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    user: Option<String>,
}

impl Create {
    fn act_and_body(&self) -> Result<(Act, Bytes), Problem> {
        let body = match (&self.text, &self.body) {
            (Some(text), None) => Bytes::copy_from_slice(text.as_bytes()),
            (None, Some(body)) => STANDARD
                .decode(body)
                .map(Bytes::from)
                .map_err(|_| Problem::bad("body must be base64 (RFC 4648, with padding)"))?,
            _ => return Err(Problem::bad("send either text or body")),
        };
        let mentions = request::user_ids(&self.mentions, "mentions")?;
        if mentions.len() > MENTIONS_MAX {
            return Err(Problem::bad(format!("mentions has more than {MENTIONS_MAX} users")));
        }
        if self.expiry_s == Some(0) {
            return Err(Problem::bad("expiry_s must be at least 1, or absent"));
        }
        let reply_to = self.reply_to.filter(|seq| *seq > 0).map(Seq);
        Ok((Act::Message { reply_to, mentions }, body))
    }
}

/// Sends a message, as a device does over MQTT: the same checks, the same rates, the same commit. When
/// the answer is lost, or is 503, the same request with the same Idempotency-Key sends it once. With the
/// admin token `?user=` says for whom; the log then names the device `rest`.
#[utoipa::path(
    post, path = "/v1/conversations/{cid}/messages", tag = "messages", request_body = Create,
    params(
        ("cid" = String, Path, description = "the conversation's id"),
        ("user" = Option<String>, Query, description = "who sends; needed with the admin token"),
    ),
    responses(
        (status = 201, description = "committed, now or by the same request before", body = Sent,
         headers(("Location" = String, description = "where it can be read"))),
        (status = 403, description = "the role or a block forbids it", body = Problem),
        (status = 404, description = "none that the user is a member of", body = Problem),
        (status = 409, description = "the group version is another", body = Problem),
    ),
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Path(cid): Path<String>,
    Terms(whose): Terms<Whose>,
    asked: Asked,
) -> Result<Response, Problem> {
    let conversation = request::conversation_id(&cid)?;
    let user = asked.caller.subject(whose.user.as_deref())?;
    let wanted: Create = request::json(&asked.body)?;
    let (act, body) = wanted.act_and_body()?;
    let from = match asked.caller.identity() {
        Some(identity) => identity.clone(),
        None => {
            let device = DeviceId::new(SERVERS_DEVICE);
            let device = device.map_err(|_| Problem::new(Kind::Internal, "this is a defect"))?;
            Identity { user, device }
        }
    };
    let time_ms = clock::now_ms();
    let message_id = clock::message_id(time_ms).map_err(|_| Problem::no_randomness())?;
    let SendKey::Server(key) = asked.claim(&api).await?.send_key(message_id) else {
        return Err(Problem::new(Kind::Internal, "the key is none of the server's"));
    };
    let post = Post {
        conversation,
        from,
        key,
        act,
        body,
        group_version: wanted.group_version,
        expiry_s: wanted.expiry_s,
        reads: !wanted.keep_unread,
    };
    to_end(async move { answer(conversation, api.control.send(post).await) }).await
}

/// The table from a PUBACK to HTTP.
fn answer(conversation: ConversationId, outcome: Outcome) -> Result<Response, Problem> {
    let text = match outcome.detail {
        Detail::Committed { message_id, seq, duplicate } => {
            let sent = Sent {
                conversation: conversation.to_string(),
                mid: message_id.to_string(),
                seq: seq.0,
                duplicate,
            };
            let mut response = (StatusCode::CREATED, Json(sent)).into_response();
            let after = seq.0.saturating_sub(1);
            let place = format!("/v1/conversations/{conversation}/messages?after={after}&limit=1");
            if let Ok(place) = HeaderValue::from_str(&place) {
                response.headers_mut().insert(header::LOCATION, place);
            }
            return Ok(response);
        }
        Detail::GroupVersion(version) => {
            let detail = format!("the group version is now {version}; look at the members again");
            return Err(Problem::new(Kind::Conflict, detail));
        }
        Detail::RetryAfter(wait) => {
            let detail = "too much at once for this user or conversation";
            return Err(Problem::throttled(detail, wait.max(Duration::from_millis(1))));
        }
        Detail::Withheld => {
            return Err(Problem::new(
                Kind::Unavailable,
                "whether it was sent is not known; the same request with the same Idempotency-Key \
                 finds out, and sends it once",
            ));
        }
        Detail::Text(text) => text,
        Detail::None => "no reason is known".into(),
    };
    Err(match outcome.code {
        Code::NOT_AUTHORIZED if text == NO_MEMBER => Problem::no_conversation(),
        Code::NOT_AUTHORIZED => Problem::new(Kind::Forbidden, text),
        Code::PAYLOAD_INVALID => Problem::bad(text),
        _ => Problem::new(Kind::Internal, text),
    })
}
