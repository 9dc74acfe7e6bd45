//! Stage 9's side of the store: the outbox, what is due for removal, and a sign of life.

use godwit_core::limits::{NOTICES_KEPT_MS, OFFERS_KEPT_MS};
use godwit_core::people::KEY_KEPT_MS;
use godwit_core::policy::INVITED_MS;
use godwit_core::store::{Error, OutboxEvent, Prune, Pruned};
use godwit_core::stored::{self, signed};

use crate::error::from_driver;
use crate::{SqliteStore, invitations, notices, offers, pack, sessions};

/// See [`godwit_core::store::Store::outbox`].
pub(crate) async fn outbox(store: &SqliteStore, limit: u32) -> Result<Vec<OutboxEvent>, Error> {
    sqlx::query_file!("queries/outbox/oldest.sql", limit)
        .fetch_all(&mut *store.reader().await?)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|row| {
            Ok(OutboxEvent {
                id: row.id,
                conversation: stored::conversation_id(&row.conversation_id)?,
                seq: stored::seq(row.seq)?,
            })
        })
        .collect()
}

/// See [`godwit_core::store::Store::outbox_done`].
pub(crate) async fn outbox_done(store: &SqliteStore, ids: &[i64]) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let ids = pack::rows(ids, |id, text| text.push_str(&id.to_string()));
    let mut tx = store.begin_behind().await?;
    sqlx::query_file!("queries/outbox/done.sql", ids)
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
    tx.commit().await
}

/// See [`godwit_core::store::Store::prune`].
pub(crate) async fn prune(store: &SqliteStore, prune: Prune) -> Result<Pruned, Error> {
    let bodies = prune_bodies(store, prune).await?;
    let keys = prune_keys(store, prune).await?;
    let (sessions, more) = sessions::prune(store, prune).await?;
    Ok(Pruned { bodies, sessions, keys, more })
}

async fn prune_bodies(store: &SqliteStore, prune: Prune) -> Result<u64, Error> {
    let now_ms = signed(prune.now_ms);
    let mut tx = store.begin_behind().await?;
    let mut bodies =
        sqlx::query_file!("queries/messages/prune_expired.sql", now_ms, prune.rows_max)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?
            .rows_affected();
    if let Some(before) = prune.bodies_before_ms {
        let before = signed(before);
        let rest = i64::from(prune.rows_max) - i64::try_from(bodies).unwrap_or(i64::MAX);
        // A negative limit would be none.
        let rest = rest.max(0);
        bodies += sqlx::query_file!("queries/messages/prune_aged.sql", before, rest)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?
            .rows_affected();
    }
    tx.commit().await?;
    Ok(bodies)
}

async fn prune_keys(store: &SqliteStore, prune: Prune) -> Result<u64, Error> {
    let until_ms = signed(prune.now_ms.saturating_sub(KEY_KEPT_MS));
    let mut tx = store.begin_behind().await?;
    let keys = sqlx::query_file!("queries/request_keys/prune.sql", until_ms, prune.rows_max)
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?
        .rows_affected();
    let until_ms = prune.now_ms.saturating_sub(NOTICES_KEPT_MS);
    notices::prune(&mut tx, until_ms, prune.rows_max).await?;
    let until_ms = prune.now_ms.saturating_sub(INVITED_MS);
    invitations::prune(&mut tx, until_ms, prune.rows_max).await?;
    let until_ms = prune.now_ms.saturating_sub(OFFERS_KEPT_MS);
    offers::prune(&mut tx, until_ms, prune.rows_max).await?;
    tx.commit().await?;
    Ok(keys)
}

/// See [`godwit_core::store::Store::ping`].
pub(crate) async fn ping(store: &SqliteStore) -> Result<(), Error> {
    sqlx::query_file_scalar!("queries/migrations/ping.sql")
        .fetch_one(&mut *store.reader().await?)
        .await
        .map_err(from_driver)?;
    Ok(())
}
