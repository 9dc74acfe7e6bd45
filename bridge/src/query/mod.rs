//! Requests on `q/{method}` and their replies.
//!
//! A request is read, served in a task (a few at a time for a device, the others in line), and
//! answered with one message; the PUBACK comes when that is queued. What is wrong with the question is told in the reply's code; what cannot be
//! replied to at all (no topic for it, no room, a payload that is none) is told by the PUBACK.

mod groups;
mod history;
mod inbox;
mod left;
mod line;
mod sync;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use godwit_core::edge::{Ack, Code, Message, Outcome, Properties, Qos, wait_ms};
use godwit_core::ids::{ConversationId, Seq};
use godwit_core::limits::PAGE_ENTRIES_MAX;
use godwit_core::store::{Error, Page, Range};
use godwit_proto::{group, inbox as inbox_wire, sync as sync_wire};
use prost::Message as _;

use crate::directory::Present;
use crate::fate::{self, About};
use crate::feeds::Wish;
use crate::limits;
use crate::retry;
use crate::session::{ASK_AGAIN, DeviceSession};
use crate::topic::{Method, Target};

pub(crate) use line::Line;

use line::{Asked, Place};

/// Where a reply goes.
pub(crate) struct ReplyTo {
    topic: ByteString,
    correlation_data: Option<Bytes>,
    wish: Wish,
}

/// A request, read.
pub(crate) enum Request {
    Sync(sync_wire::v1::SyncRequest),
    History(sync_wire::v1::HistoryRequest),
    Inbox(inbox_wire::v1::InboxRequest),
    Groups(group::v1::GroupRequest),
}

/// What is wrong with a request; told in the reply.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    code: Code,
    reason: Cow<'static, str>,
    retry_after: Option<Duration>,
    /// The group version now, when the code is about it.
    group_version: u64,
}

impl Refusal {
    fn new(code: Code, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into(), retry_after: None, group_version: 0 }
    }

    fn malformed(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::PAYLOAD_INVALID, reason)
    }

    fn no_member() -> Self {
        Self::new(Code::NOT_AUTHORIZED, "not a member of this conversation")
    }

    /// The wire's code.
    fn code(&self) -> u32 {
        u32::from(self.code.0)
    }

    /// The wire's wait, in milliseconds.
    fn retry_after_ms(&self) -> u32 {
        self.retry_after.map_or(0, wait_ms)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        retry::note("query", &error);
        match error {
            Error::Unavailable(_) => Self {
                retry_after: Some(ASK_AGAIN),
                ..Self::new(Code::QUOTA_EXCEEDED, "the store is away; ask again")
            },
            Error::Broken(_) => Self::new(Code::UNSPECIFIED, "the server failed"),
            Error::Rejected(_) => Self::new(Code::PAYLOAD_INVALID, "the store cannot hold this"),
        }
    }
}

/// Answers a request.
pub(crate) fn start(session: &Arc<DeviceSession>, method: Method, message: Message, ack: Ack) {
    let about = About::default();
    let reply_to = match reply_to(session, method, &message) {
        Ok(reply_to) => reply_to,
        Err(outcome) => return fate::refuse(session, &about, outcome, ack),
    };
    let bytes = message.payload.len();
    let request = match read(method, message.payload) {
        Ok(request) => request,
        Err(outcome) => return fate::refuse(session, &about, outcome, ack),
    };
    let place = session.questions.lock().put(Asked { request, reply_to, ack, bytes });
    match place {
        Place::First(asked) => {
            session.start("a device's requests", run(Arc::clone(session), *asked));
        }
        Place::Waits => {}
        Place::Full(asked) => {
            fate::refuse(session, &about, Outcome::throttled(ASK_AGAIN), asked.ack);
        }
    }
}

/// Answers requests of one device, one after the other, until none waits.
async fn run(session: Arc<DeviceSession>, first: Asked) {
    let mut next = Some(first);
    while let Some(Asked { request, reply_to, ack, .. }) = next {
        let reply = serve(&session, request).await;
        let outcome = send(&session, reply, reply_to);
        if outcome.code.is_error() {
            fate::refuse(&session, &About::default(), outcome, ack);
        } else {
            ack.settle(outcome);
        }
        next = session.questions.lock().next();
    }
}

fn read(method: Method, payload: Bytes) -> Result<Request, Outcome> {
    let malformed = |name: &str, error: prost::DecodeError| {
        let reason = format!("the payload is not godwit.{name}: {error}");
        Outcome::refused(Code::PAYLOAD_INVALID, reason)
    };
    match method {
        Method::Sync => sync_wire::v1::SyncRequest::decode(payload)
            .map(Request::Sync)
            .map_err(|e| malformed("sync.v1.SyncRequest", e)),
        Method::History => sync_wire::v1::HistoryRequest::decode(payload)
            .map(Request::History)
            .map_err(|e| malformed("sync.v1.HistoryRequest", e)),
        Method::Inbox => inbox_wire::v1::InboxRequest::decode(payload)
            .map(Request::Inbox)
            .map_err(|e| malformed("inbox.v1.InboxRequest", e)),
        Method::Groups => group::v1::GroupRequest::decode(payload)
            .map(Request::Groups)
            .map_err(|e| malformed("group.v1.GroupRequest", e)),
    }
}

/// MQTT 5's Response Topic, if it is the device's own; else the method's topic, if the device
/// subscribes to it.
fn reply_to(
    session: &DeviceSession,
    method: Method,
    message: &Message,
) -> Result<ReplyTo, Outcome> {
    let properties = message.properties.as_deref();
    let correlation_data = properties.and_then(|p| p.correlation_data.clone());
    let wish = session.feeds.lock().wish_topic(&Target::Replies(Some(method)));
    if let Some(topic) = properties.and_then(|p| p.response_topic.clone()) {
        let own = format!("u/{}/", session.identity().user);
        if !topic.starts_with("q/") && !topic.starts_with(&own) {
            let reason = "the response topic must begin with q/ or with your own space u/{user}/";
            return Err(Outcome::refused(Code::NOT_AUTHORIZED, reason));
        }
        let named = Wish { qos: Qos::AtLeastOnce, no_local: false, identifier: None };
        return Ok(ReplyTo { topic, correlation_data, wish: wish.unwrap_or(named) });
    }
    let topic = ByteString::from_static(method.topic());
    match wish {
        Some(wish) => Ok(ReplyTo { topic, correlation_data, wish }),
        None => Err(Outcome::refused(
            Code::NO_SUBSCRIBERS,
            "subscribe to q/# first, or name a response topic",
        )),
    }
}

/// The encoded reply.
async fn serve(session: &DeviceSession, request: Request) -> Bytes {
    match request {
        Request::Sync(request) => sync::reply(session, request).await.encode_to_vec(),
        Request::History(request) => history::reply(session, request).await.encode_to_vec(),
        Request::Inbox(request) => inbox::reply(session, request).await.encode_to_vec(),
        Request::Groups(request) => groups::reply(session, request).await.encode_to_vec(),
    }
    .into()
}

fn send(session: &DeviceSession, payload: Bytes, to: ReplyTo) -> Outcome {
    let properties = to
        .correlation_data
        .map(|data| Box::new(Properties { correlation_data: Some(data), ..Properties::default() }));
    let message = Arc::new(Message { topic: to.topic, payload, properties });
    match session.send(message, to.wish) {
        Ok(()) => Outcome::SUCCESS,
        Err(_) => Outcome::throttled(ASK_AGAIN),
    }
}

/// A conversation id of a request.
fn conversation_id(bytes: &[u8]) -> Result<ConversationId, Refusal> {
    ConversationId::from_slice(bytes)
        .map_err(|_| Refusal::malformed("conversation_id must be 16 bytes"))
}

/// The device's user as a member.
async fn member(session: &DeviceSession, id: ConversationId) -> Result<Present, Refusal> {
    let found = session.inner.directory.member(id, &session.identity().user).await?;
    found.ok_or_else(Refusal::no_member)
}

/// Reads a part of the log as a member; with the last place that is not the member's to see.
///
/// Whether the user is one is asked when the entries are read, of the store: what is remembered here may
/// be old, and whoever is removed sees nothing of what follows.
async fn read_log(
    session: &DeviceSession,
    id: ConversationId,
    range: Range,
    limit: u32,
) -> Result<(Page, Seq), Refusal> {
    let store = session.inner.store.as_ref();
    let page = store.read_log(id, range, limit, limits::REPLY_BYTES_MAX).await?;
    let mut page = page.ok_or_else(Refusal::no_member)?;
    let member = store.member(id, &session.identity().user).await?;
    let visible = member.ok_or_else(Refusal::no_member)?.visible_seq;
    page.entries.retain(|entry| entry.seq > visible);
    Ok((page, visible))
}

/// How much of a log is read; 0 means as much as there may be.
fn page_limit(asked: u32) -> u32 {
    if asked == 0 { PAGE_ENTRIES_MAX } else { asked.min(PAGE_ENTRIES_MAX) }
}
