//! Conversations that a user has left, as the inbox lists them for a while.

use godwit_core::ids::UserId;
use godwit_core::inbox::{InboxQuery, Shelf};
use godwit_core::limits::{LEFT_LISTED_MAX, LEFT_LISTED_MS};
use godwit_core::membership::Left;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::problem::Problem;

/// A conversation that the user has left or was removed from.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LeftConversation)]
pub(crate) struct View {
    /// 22 characters of base64url.
    id: String,
    /// As it was then; empty: there was none, or it is another since.
    title: String,
    /// The entry that tells of it. Nothing from there on is the user's to see.
    left_seq: u64,
    /// Milliseconds since 1970.
    left_ms: u64,
    /// Who did it; the user: left.
    by: String,
}

impl From<Left> for View {
    fn from(left: Left) -> Self {
        Self {
            id: left.conversation.to_string(),
            title: left.title,
            left_seq: left.left_seq.0,
            left_ms: left.left_ms,
            by: left.by.to_string(),
        }
    }
}

/// What a page of an inbox shows of them: the first one all, the others nothing.
pub(super) async fn beside(
    api: &Api,
    user: &UserId,
    query: &InboxQuery,
    now_ms: u64,
) -> Result<Vec<View>, Problem> {
    if query.after.is_some() || query.shelf == Shelf::Archived {
        return Ok(Vec::new());
    }
    let since_ms = now_ms.saturating_sub(LEFT_LISTED_MS);
    let left = api.store.left(user, since_ms, LEFT_LISTED_MAX).await?;
    Ok(left.into_iter().map(Into::into).collect())
}
