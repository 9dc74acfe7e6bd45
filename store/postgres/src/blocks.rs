//! Who blocks whom.
//!
//! A block and the creation of a direct conversation of the two must not miss each other: the one
//! holds its user's hand alone, the other both users' hands together with others (advisory locks
//! until the end of the transaction, always before any row).

use godwit_core::ids::{ConversationId, UserId};
use godwit_core::limits::BLOCKS_MAX;
use godwit_core::people::TooMany;
use godwit_core::store::Error;
use godwit_core::stored::{self, signed};
use sqlx::PgConnection;

use crate::commit::lock;
use crate::error::from_driver;
use crate::{PostgresStore, column, hold};

/// See [`godwit_core::people::People::blocks`].
pub(crate) async fn of_user(store: &PostgresStore, user: &UserId) -> Result<Vec<UserId>, Error> {
    let limit = i64::try_from(BLOCKS_MAX).unwrap_or(i64::MAX);
    sqlx::query_file_scalar!("queries/blocks/list.sql", user.as_str(), limit)
        .fetch_all(&mut *store.readers.take().await?)
        .await
        .map_err(from_driver)?
        .iter()
        .map(|name| stored::user(name))
        .collect()
}

/// See [`godwit_core::people::People::blocked_by`].
pub(crate) async fn among(
    store: &PostgresStore,
    user: &UserId,
    among: &[UserId],
) -> Result<Vec<UserId>, Error> {
    let among: Vec<&str> = among.iter().map(UserId::as_str).collect();
    sqlx::query_file_scalar!("queries/blocks/among.sql", user.as_str(), &among as &[&str])
        .fetch_all(&mut *store.readers.take().await?)
        .await
        .map_err(from_driver)?
        .iter()
        .map(|name| stored::user(name))
        .collect()
}

/// Which of two users is blocked by the other; it stays so until the end of the transaction.
pub(crate) async fn between(
    connection: &mut PgConnection,
    one: &UserId,
    other: &UserId,
) -> Result<Vec<UserId>, Error> {
    let mut users = [one.as_str(), other.as_str()];
    users.sort_unstable();
    sqlx::query_file!("queries/blocks/hold.sql", &users as &[&str])
        .fetch_one(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file_scalar!("queries/blocks/between.sql", one.as_str(), other.as_str())
        .fetch_all(connection)
        .await
        .map_err(from_driver)?
        .iter()
        .map(|name| stored::user(name))
        .collect()
}

/// See [`godwit_core::people::People::block`].
pub(crate) async fn block(
    store: &PostgresStore,
    user: &UserId,
    other: &UserId,
    on: bool,
    time_ms: u64,
) -> Result<Result<Vec<ConversationId>, TooMany>, Error> {
    // Nobody blocks himself: it would end his own sends in every direct conversation.
    if user == other {
        return Ok(Ok(Vec::new()));
    }
    // Nobody blocks himself: it would end his own sends in every direct conversation.
    if user == other {
        return Ok(Ok(Vec::new()));
    }
    let mut tx = store.begin().await?;
    sqlx::query_file!("queries/blocks/lock.sql", user.as_str())
        .fetch_one(&mut *tx)
        .await
        .map_err(from_driver)?;
    if !write(&mut tx, user, other, on, time_ms).await? {
        return Ok(Ok(Vec::new()));
    }
    if on {
        let number = sqlx::query_file_scalar!("queries/blocks/count.sql", user.as_str())
            .fetch_one(&mut *tx)
            .await
            .map_err(from_driver)?;
        if usize::try_from(number).is_ok_and(|number| number > BLOCKS_MAX) {
            // Dropping the transaction takes the row back.
            return Ok(Err(TooMany));
        }
    }
    let peers =
        sqlx::query_file_scalar!("queries/conversations/peers.sql", user.as_str(), other.as_str())
            .fetch_all(&mut *tx)
            .await
            .map_err(from_driver)?;
    let changed: Vec<_> = peers.iter().map(|id| ConversationId(id.into_bytes())).collect();
    if !changed.is_empty() {
        lock(&mut tx, changed.iter().copied()).await?;
        tell_members(&mut tx, &changed, other, on).await?;
    }
    tx.commit().await.map_err(from_driver)?;
    Ok(Ok(changed))
}

/// Makes or removes the row; whether that changed anything.
async fn write(
    connection: &mut PgConnection,
    user: &UserId,
    other: &UserId,
    on: bool,
    time_ms: u64,
) -> Result<bool, Error> {
    let (user, other) = (user.as_str(), other.as_str());
    let done = if on {
        sqlx::query_file!("queries/blocks/put.sql", user, other, signed(time_ms))
            .execute(connection)
            .await
    } else {
        sqlx::query_file!("queries/blocks/remove.sql", user, other).execute(connection).await
    };
    Ok(done.map_err(from_driver)?.rows_affected() > 0)
}

/// In these conversations, whose heads are locked, a member may send no more, or again.
async fn tell_members(
    connection: &mut PgConnection,
    conversations: &[ConversationId],
    other: &UserId,
    on: bool,
) -> Result<(), Error> {
    let ids: Vec<_> = conversations.iter().copied().map(column).collect();
    let users = vec![other.as_str(); ids.len()];
    hold::members(connection, hold::Keys { conversations: &ids, users: &users }).await?;
    sqlx::query_file!("queries/members/block.sql", &ids, other.as_str(), on)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/conversations/raise.sql", &ids)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}
