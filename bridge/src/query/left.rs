//! Conversations that a user has left, as the inbox lists them for a while.

use bytes::Bytes;
use godwit_core::ids::UserId;
use godwit_core::inbox::{InboxQuery, Shelf};
use godwit_core::limits::{LEFT_LISTED_MAX, LEFT_LISTED_MS};
use godwit_core::membership::Left;
use godwit_core::store::Error;
use godwit_proto::inbox::v1 as wire;

use crate::inner::Inner;

/// What a page shows of them: the first one all, the others nothing.
pub(super) async fn beside(
    inner: &Inner,
    user: &UserId,
    query: &InboxQuery,
    now_ms: u64,
) -> Result<Vec<wire::Left>, Error> {
    if query.only.is_some() || query.after.is_some() || query.shelf == Shelf::Archived {
        return Ok(Vec::new());
    }
    let since_ms = now_ms.saturating_sub(LEFT_LISTED_MS);
    let left = inner.store.left(user, since_ms, LEFT_LISTED_MAX).await?;
    Ok(left.into_iter().map(to_wire).collect())
}

fn to_wire(left: Left) -> wire::Left {
    wire::Left {
        conversation_id: Bytes::copy_from_slice(left.conversation.as_bytes()),
        title: left.title,
        left_seq: left.left_seq.0,
        left_ms: left.left_ms,
        by: left.by.to_string(),
    }
}
