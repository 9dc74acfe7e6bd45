//! Requests on `q/{method}` and their replies.
//!
//! A request is read, served in a task (a few at a time for a device, the others in line), and
//! answered with one message; the PUBACK comes when that is queued. A reply that finds no room waits for
//! it: what was asked is done by then, so a refusal would be untrue, and would end 3.1.1's connection.
//! What is wrong with the question is told in the reply's code; what cannot be replied to at all (no
//! topic for it, too many requests, a payload that is none) is told by the PUBACK.

mod groups;
mod history;
mod inbox;
mod left;
mod line;
mod refusal;
mod sync;

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use godwit_core::edge::{Ack, Code, Message, Outcome, Properties, Qos};
use godwit_proto::{group, inbox as inbox_wire, sync as sync_wire};
use prost::Message as _;

use crate::fate::{self, About};
use crate::retry::ASK_AGAIN;
use crate::session::DeviceSession;
use crate::topic::{Method, Target};
use crate::wish::Wish;

pub(crate) use line::Line;

use line::{Asked, Place, ReplyTo, Request};

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
        if send(&session, reply, reply_to).await {
            ack.settle(Outcome::SUCCESS);
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

/// Queues a reply, as soon as there is room; `false`: the connection has ended before that, or ends now,
/// for the device has confirmed too little for as long as anything is held.
async fn send(session: &DeviceSession, payload: Bytes, to: ReplyTo) -> bool {
    let properties = to
        .correlation_data
        .map(|data| Box::new(Properties { correlation_data: Some(data), ..Properties::default() }));
    let message = Arc::new(Message { topic: to.topic, payload, properties });
    let until = tokio::time::Instant::now() + session.inner.options.hold_max;
    loop {
        let relieved = session.relieved.notified();
        let mut relieved = std::pin::pin!(relieved);
        // Before the try, so that room made right after it is not missed.
        relieved.as_mut().enable();
        if session.send(Arc::clone(&message), to.wish).is_ok() {
            return true;
        }
        if session.feeds.lock().closed {
            return false;
        }
        if tokio::time::timeout_at(until, relieved).await.is_err() {
            tracing::debug!(stage = "query", "a device takes no reply");
            return false;
        }
    }
}
