//! `q/sync`: where the user's logs end, and what stands in one above a place.

use bytes::Bytes;
use godwit_core::entry::ChainHash;
use godwit_core::ids::{ConversationId, Seq};
use godwit_core::store::{Range, Store};
use godwit_proto::sync::v1 as wire;

use super::refusal::{Refusal, conversation_id, member, page_limit, read_log};
use crate::clock;
use crate::session::DeviceSession;

pub(super) async fn reply(session: &DeviceSession, request: wire::SyncRequest) -> wire::SyncReply {
    let id = request.id;
    match sync(session, request).await {
        Ok(reply) => wire::SyncReply { id, ..reply },
        Err(refusal) => wire::SyncReply {
            id,
            code: refusal.code(),
            reason: refusal.reason.into_owned(),
            ..wire::SyncReply::default()
        },
    }
}

async fn sync(
    session: &DeviceSession,
    request: wire::SyncRequest,
) -> Result<wire::SyncReply, Refusal> {
    let limit = page_limit(request.limit);
    if request.conversation_id.is_empty() {
        let after = match request.after_conversation_id.as_ref() {
            b"" => None,
            id => Some(ConversationId::from_slice(id).map_err(|_| {
                Refusal::malformed("after_conversation_id must be 16 bytes, or absent")
            })?),
        };
        return heads(session, after, limit).await;
    }
    let id = conversation_id(&request.conversation_id)?;
    let member = member(session, id).await?;
    let after = Seq(request.after_seq).max(member.visible);
    let store = session.inner.store.as_ref();
    if diverged(store, id, after, &request).await? {
        return Ok(wire::SyncReply {
            conversation_id: request.conversation_id,
            diverged: true,
            ..wire::SyncReply::default()
        });
    }
    let (page, _) = read_log(session, id, Range::above(after), limit).await?;
    let now_ms = clock::now_ms();
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
) -> Result<bool, Refusal> {
    let held = Seq(request.after_seq);
    // Of what is not the user's to see nothing is told.
    if request.after_chain.is_empty() || held == Seq::ZERO || after != held {
        return Ok(false);
    }
    if request.after_chain.len() != ChainHash::WIRE_LEN {
        return Err(Refusal::malformed("after_chain must be 8 bytes, or absent"));
    }
    let page = store.read_log(id, Range::above(Seq(held.0 - 1)), 1, 1).await?;
    let entry = page.and_then(|page| page.entries.into_iter().next());
    // A place beyond the head is divergence too: the device knows what the log does not.
    Ok(entry.is_none_or(|entry| entry.chain.wire() != request.after_chain.as_ref()))
}

async fn heads(
    session: &DeviceSession,
    after: Option<ConversationId>,
    limit: u32,
) -> Result<wire::SyncReply, Refusal> {
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
