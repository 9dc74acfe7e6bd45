//! Invitations into groups that wait for an answer.

use godwit_core::ids::{ConversationId, Identity, UserId};
use godwit_core::limits::OFFERS_MAX;
use godwit_core::offer::Offer;
use godwit_core::store::Error;
use godwit_core::stored::{self, signed};
use sqlx::SqliteConnection;

use crate::SqliteStore;
use crate::error::from_driver;

/// See [`godwit_core::store::Store::offer`].
pub(crate) async fn put(store: &SqliteStore, offers: &[Offer]) -> Result<(), Error> {
    if offers.is_empty() {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    for offer in offers {
        let (user, id) = (offer.user.as_str(), &offer.conversation.as_bytes()[..]);
        let (by, device) = (offer.by.user.as_str(), offer.by.device.as_str());
        let (role, time_ms) = (offer.role.code(), signed(offer.time_ms));
        sqlx::query_file!("queries/offers/put.sql", user, id, by, device, role, time_ms)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
        sqlx::query_file!("queries/offers/trim.sql", user, OFFERS_MAX)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
    }
    tx.commit().await
}

/// See [`godwit_core::store::Store::offers`].
pub(crate) async fn list(
    store: &SqliteStore,
    user: &UserId,
    since_ms: u64,
) -> Result<Vec<Offer>, Error> {
    let (name, since_ms) = (user.as_str(), signed(since_ms));
    sqlx::query_file!("queries/offers/list.sql", name, since_ms)
        .fetch_all(&mut *store.reader().await?)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|row| {
            Ok(Offer {
                user: user.clone(),
                conversation: stored::conversation_id(&row.conversation_id)?,
                by: Identity {
                    user: stored::user(&row.inviter_id)?,
                    device: stored::device(&row.inviter_device)?,
                },
                role: stored::role(row.role)?,
                time_ms: stored::unsigned("time", row.time_ms)?,
            })
        })
        .collect()
}

/// See [`godwit_core::store::Store::take_offer`].
pub(crate) async fn take(
    store: &SqliteStore,
    user: &UserId,
    conversation: ConversationId,
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    let (name, id) = (user.as_str(), &conversation.as_bytes()[..]);
    sqlx::query_file!("queries/offers/take.sql", name, id)
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
    tx.commit().await
}

/// Forgets what was asked up to a time, at most `rows_max`.
pub(crate) async fn prune(
    connection: &mut SqliteConnection,
    until_ms: u64,
    rows_max: u32,
) -> Result<(), Error> {
    let until_ms = signed(until_ms);
    sqlx::query_file!("queries/offers/prune.sql", until_ms, rows_max)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}
