//! Stage 9's side of the store: the outbox, what is due for removal, and a sign of life.

use godwit_core::ids::ConversationId;
use godwit_core::limits::{NOTICES_KEPT_MS, OFFERS_KEPT_MS};
use godwit_core::people::KEY_KEPT_MS;
use godwit_core::policy::INVITED_MS;
use godwit_core::store::{Error, OutboxEvent, Prune, Pruned};
use godwit_core::stored::{self, signed};

use crate::error::from_driver;
use crate::{PostgresStore, invitations, notices, offers, sessions};

/// See [`godwit_core::store::Store::outbox`].
pub(crate) async fn outbox(store: &PostgresStore, limit: u32) -> Result<Vec<OutboxEvent>, Error> {
    sqlx::query_file!("queries/outbox/oldest.sql", i64::from(limit))
        .fetch_all(&mut *store.pool.take().await?)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|row| {
            Ok(OutboxEvent {
                id: row.id,
                conversation: ConversationId(row.conversation_id.into_bytes()),
                seq: stored::seq(row.seq)?,
            })
        })
        .collect()
}

/// See [`godwit_core::store::Store::outbox_done`].
pub(crate) async fn outbox_done(store: &PostgresStore, ids: &[i64]) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query_file!("queries/outbox/done.sql", ids)
        .execute(&mut *store.pool.take().await?)
        .await
        .map_err(from_driver)?;
    Ok(())
}

/// See [`godwit_core::store::Store::prune`].
pub(crate) async fn prune(store: &PostgresStore, prune: Prune) -> Result<Pruned, Error> {
    let bodies = store.bounded(prune_bodies(store, prune)).await?;
    let keys = store.bounded(prune_keys(store, prune)).await?;
    store.bounded(prune_notices(store, prune)).await?;
    let (sessions, more) = sessions::prune(store, prune).await?;
    Ok(Pruned { bodies, sessions, keys, more })
}

async fn prune_bodies(store: &PostgresStore, prune: Prune) -> Result<u64, Error> {
    let (now_ms, rows_max) = (signed(prune.now_ms), i64::from(prune.rows_max));
    let expired = sqlx::query_file!("queries/messages/prune_expired.sql", now_ms, rows_max)
        .execute(&mut *store.pool.take().await?)
        .await
        .map_err(from_driver)?
        .rows_affected();
    let Some(before) = prune.bodies_before_ms else { return Ok(expired) };
    let rest = rows_max - i64::try_from(expired).unwrap_or(i64::MAX);
    let aged = sqlx::query_file!("queries/messages/prune_aged.sql", signed(before), rest.max(0))
        .execute(&mut *store.pool.take().await?)
        .await
        .map_err(from_driver)?
        .rows_affected();
    Ok(expired + aged)
}

async fn prune_keys(store: &PostgresStore, prune: Prune) -> Result<u64, Error> {
    let until_ms = signed(prune.now_ms.saturating_sub(KEY_KEPT_MS));
    let rows_max = i64::from(prune.rows_max);
    let keys = sqlx::query_file!("queries/request_keys/prune.sql", until_ms, rows_max)
        .execute(&mut *store.pool.take().await?)
        .await
        .map_err(from_driver)?;
    Ok(keys.rows_affected())
}

/// What users were told, and whom they have asked, long ago.
async fn prune_notices(store: &PostgresStore, prune: Prune) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    let until_ms = prune.now_ms.saturating_sub(NOTICES_KEPT_MS);
    notices::prune(&mut tx, until_ms, prune.rows_max).await?;
    let until_ms = prune.now_ms.saturating_sub(INVITED_MS);
    invitations::prune(&mut tx, until_ms, prune.rows_max).await?;
    let until_ms = prune.now_ms.saturating_sub(OFFERS_KEPT_MS);
    offers::prune(&mut tx, until_ms, prune.rows_max).await?;
    tx.commit().await.map_err(from_driver)
}

/// See [`godwit_core::store::Store::ping`].
pub(crate) async fn ping(store: &PostgresStore) -> Result<(), Error> {
    sqlx::query_file_scalar!("queries/migrations/ping.sql")
        .fetch_one(&mut *store.readers.take().await?)
        .await
        .map_err(from_driver)?;
    Ok(())
}
