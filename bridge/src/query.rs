//! Requests on `q/{method}` and their replies.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use godwit_core::edge::{Ack, Code, Message, Outcome, Properties, Qos};
use godwit_core::entry::ChainHash;
use godwit_core::ids::{ConversationId, Seq};
use godwit_core::limits::PAGE_ENTRIES_MAX;
use godwit_core::store::{Error, Store};
use godwit_proto::sync::v1 as wire;
use prost::Message as _;

use crate::feeds::Wish;
use crate::session::{ASK_AGAIN, DeviceSession};
use crate::topic::Target;
use crate::{ingest, limits, retry};

/// Where a reply goes.
struct ReplyTo {
    topic: ByteString,
    correlation_data: Option<Bytes>,
    wish: Wish,
}

/// Answers a request in a task of its own; the PUBACK comes when the reply is queued.
pub(crate) fn start(session: &Arc<DeviceSession>, method: &str, message: Message, ack: Ack) {
    if method != "sync" {
        let reason = "q/sync is the only request that this version serves";
        return ack.settle(Outcome::refused(Code::PAYLOAD_INVALID, reason));
    }
    let reply_to = match reply_to(session, &message) {
        Ok(reply_to) => reply_to,
        Err(outcome) => return ack.settle(outcome),
    };
    let request = match wire::SyncRequest::decode(message.payload) {
        Ok(request) => request,
        Err(error) => {
            let reason = format!("the payload is not godwit.sync.v1.SyncRequest: {error}");
            return ack.settle(Outcome::refused(Code::PAYLOAD_INVALID, reason));
        }
    };
    {
        let mut feeds = session.feeds.lock();
        if feeds.queries >= limits::QUERIES_MAX {
            return ack.settle(Outcome::throttled(ASK_AGAIN));
        }
        feeds.queries += 1;
    }
    let session = Arc::clone(session);
    tokio::spawn(async move {
        let outcome = answer(&session, request, reply_to).await;
        session.feeds.lock().queries -= 1;
        ack.settle(outcome);
    });
}

/// MQTT 5's Response Topic, if it is the device's own; else `q/sync`, if it subscribes to it.
fn reply_to(session: &DeviceSession, message: &Message) -> Result<ReplyTo, Outcome> {
    let properties = message.properties.as_deref();
    let correlation_data = properties.and_then(|p| p.correlation_data.clone());
    let wish = session.feeds.lock().wish_topic(Target::Replies);
    if let Some(topic) = properties.and_then(|p| p.response_topic.clone()) {
        let own = format!("u/{}/", session.identity().user);
        if !topic.starts_with("q/") && !topic.starts_with(&own) {
            let reason = "the response topic must begin with q/ or with your own space u/{user}/";
            return Err(Outcome::refused(Code::NOT_AUTHORIZED, reason));
        }
        let named = Wish { qos: Qos::AtLeastOnce, no_local: false, identifier: None };
        return Ok(ReplyTo { topic, correlation_data, wish: wish.unwrap_or(named) });
    }
    let topic = ByteString::from_static("q/sync");
    match wish {
        Some(wish) => Ok(ReplyTo { topic, correlation_data, wish }),
        None => Err(Outcome::refused(
            Code::NO_SUBSCRIBERS,
            "subscribe to q/# first, or name a response topic",
        )),
    }
}

async fn answer(session: &DeviceSession, request: wire::SyncRequest, to: ReplyTo) -> Outcome {
    let id = request.id;
    let reply = match sync(session, request).await {
        Ok(reply) => wire::SyncReply { id, ..reply },
        Err(Refused::Code(code, reason)) => wire::SyncReply {
            id,
            code: u32::from(code.0),
            reason: reason.to_owned(),
            ..wire::SyncReply::default()
        },
        Err(Refused::Store(error)) => {
            retry::note("sync", &error);
            return Outcome::throttled(ASK_AGAIN);
        }
    };
    let properties = to
        .correlation_data
        .map(|data| Box::new(Properties { correlation_data: Some(data), ..Properties::default() }));
    let message =
        Arc::new(Message { topic: to.topic, payload: reply.encode_to_vec().into(), properties });
    match session.send(message, to.wish) {
        Ok(()) => Outcome::SUCCESS,
        Err(_) => Outcome::throttled(ASK_AGAIN),
    }
}

/// Why there is no page.
enum Refused {
    /// Told in the reply.
    Code(Code, &'static str),
    /// Ask again.
    Store(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

async fn sync(
    session: &DeviceSession,
    request: wire::SyncRequest,
) -> Result<wire::SyncReply, Refused> {
    let bad = |what| Refused::Code(Code::PAYLOAD_INVALID, what);
    let limit = match request.limit {
        0 => PAGE_ENTRIES_MAX,
        limit => limit.min(PAGE_ENTRIES_MAX),
    };
    if request.conversation_id.is_empty() {
        let after = match request.after_conversation_id.as_ref() {
            b"" => None,
            id => Some(
                ConversationId::from_slice(id)
                    .map_err(|_| bad("after_conversation_id must be 16 bytes"))?,
            ),
        };
        return heads(session, after, limit).await;
    }
    let id = ConversationId::from_slice(&request.conversation_id)
        .map_err(|_| bad("conversation_id must be 16 bytes"))?;
    let user = &session.identity().user;
    let joined = session.inner.directory.joined(id, user).await?;
    let joined =
        joined.ok_or(Refused::Code(Code::NOT_AUTHORIZED, "not a member of this conversation"))?;
    let after = Seq(request.after_seq).max(joined);
    let store = session.inner.store.as_ref();
    if diverged(store, id, after, &request).await? {
        return Ok(wire::SyncReply {
            conversation_id: request.conversation_id,
            diverged: true,
            ..wire::SyncReply::default()
        });
    }
    let page = store.read_log(id, after, limit, limits::REPLY_BYTES_MAX).await?;
    let page = page.ok_or(Refused::Code(Code::NOT_AUTHORIZED, "not a member"))?;
    let now_ms = ingest::now_ms();
    Ok(wire::SyncReply {
        conversation_id: request.conversation_id,
        entries: page.entries.iter().map(|e| crate::wire::entry_to_wire(e, now_ms)).collect(),
        head_seq: page.head_seq.0,
        ..wire::SyncReply::default()
    })
}

/// Whether the chain that the device holds is another than the log's at the same place.
async fn diverged(
    store: &dyn Store,
    id: ConversationId,
    after: Seq,
    request: &wire::SyncRequest,
) -> Result<bool, Refused> {
    if request.after_chain.is_empty() || request.after_seq == 0 || after.0 != request.after_seq {
        return Ok(false);
    }
    if request.after_chain.len() != ChainHash::WIRE_LEN {
        return Err(Refused::Code(Code::PAYLOAD_INVALID, "after_chain must be 8 bytes"));
    }
    let page = store.read_log(id, Seq(after.0 - 1), 1, 1).await?;
    let entry = page.and_then(|page| page.entries.into_iter().next());
    // A place beyond the head is divergence too: the device knows what the log does not.
    Ok(entry.is_none_or(|entry| entry.chain.wire() != request.after_chain.as_ref()))
}

async fn heads(
    session: &DeviceSession,
    after: Option<ConversationId>,
    limit: u32,
) -> Result<wire::SyncReply, Refused> {
    let user = &session.identity().user;
    let found = session.inner.store.conversations_of(user, after, limit).await?;
    let heads: Vec<_> = found
        .iter()
        .map(|c| wire::Head {
            conversation_id: Bytes::copy_from_slice(c.id.as_bytes()),
            head_seq: c.head_seq.0,
            head_chain: Bytes::copy_from_slice(c.head_chain.wire()),
            group_version: c.group_version,
        })
        .collect();
    let more = heads.len() >= limit as usize;
    Ok(wire::SyncReply { heads, more, ..wire::SyncReply::default() })
}
