//! Who blocks whom, and what that does to direct conversations.

use godwit_core::ids::{ConversationId, UserId};
use godwit_core::limits::BLOCKS_MAX;
use godwit_core::people::TooMany;
use godwit_core::store::Error;
use godwit_core::stored::{self, signed};

use crate::error::from_driver;
use crate::{SqliteStore, pack};

/// See [`godwit_core::people::People::blocks`].
pub(crate) async fn of_user(store: &SqliteStore, user: &UserId) -> Result<Vec<UserId>, Error> {
    let (name, limit) = (user.as_str(), BLOCKS_MAX as i64);
    sqlx::query_file_scalar!("queries/blocks/list.sql", name, limit)
        .fetch_all(&mut *store.reader().await?)
        .await
        .map_err(from_driver)?
        .iter()
        .map(|other| stored::user(other))
        .collect()
}

/// See [`godwit_core::people::People::blocked_by`].
pub(crate) async fn blocked_by(
    store: &SqliteStore,
    user: &UserId,
    among: &[UserId],
) -> Result<Vec<UserId>, Error> {
    let (name, among) = (user.as_str(), pack::users(among));
    sqlx::query_file_scalar!("queries/blocks/among.sql", name, among)
        .fetch_all(&mut *store.reader().await?)
        .await
        .map_err(from_driver)?
        .iter()
        .map(|other| stored::user(other))
        .collect()
}

/// See [`godwit_core::people::People::block`].
pub(crate) async fn block(
    store: &SqliteStore,
    user: &UserId,
    other: &UserId,
    on: bool,
    time_ms: u64,
) -> Result<Result<Vec<ConversationId>, TooMany>, Error> {
    // Nobody blocks himself: it would end his own sends in every direct conversation.
    if user == other {
        return Ok(Ok(Vec::new()));
    }
    let mut tx = store.begin().await?;
    let (user, other, created_ms) = (user.as_str(), other.as_str(), signed(time_ms));
    if on {
        let new = sqlx::query_file!("queries/blocks/put.sql", user, other, created_ms)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?
            .rows_affected();
        let count = sqlx::query_file_scalar!("queries/blocks/count.sql", user)
            .fetch_one(&mut *tx)
            .await
            .map_err(from_driver)?;
        if new > 0 && count > BLOCKS_MAX as i64 {
            // Dropping the transaction takes the row back.
            return Ok(Err(TooMany));
        }
    } else {
        sqlx::query_file!("queries/blocks/remove.sql", user, other)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
    }
    let changed = sqlx::query_file_scalar!("queries/members/block.sql", user, other, on)
        .fetch_all(&mut *tx)
        .await
        .map_err(from_driver)?;
    for id in &changed {
        sqlx::query_file!("queries/conversations/raise.sql", id)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
    }
    tx.commit().await?;
    let ids: Result<Vec<_>, _> = changed.iter().map(|id| stored::conversation_id(id)).collect();
    let mut ids = ids?;
    ids.sort_unstable();
    Ok(Ok(ids))
}
