//! Invitations into groups that wait for an answer.

use std::collections::BTreeMap;

use godwit_core::ids::{ConversationId, Identity, UserId};
use godwit_core::limits::OFFERS_MAX;
use godwit_core::offer::Offer;
use godwit_core::store::Error;
use godwit_core::stored::{self, signed};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::PostgresStore;
use crate::error::from_driver;
use crate::sessions::names;

/// See [`godwit_core::store::Store::offer`].
pub(crate) async fn put(store: &PostgresStore, offers: &[Offer]) -> Result<(), Error> {
    if offers.is_empty() {
        return Ok(());
    }
    // Of two for the same user and conversation the last one counts; rows are locked in this order.
    let offers: BTreeMap<_, &Offer> =
        offers.iter().map(|offer| ((offer.user.as_str(), offer.conversation.0), offer)).collect();
    let (users, ids): (Vec<&str>, Vec<Uuid>) =
        offers.keys().map(|(user, id)| (*user, Uuid::from_bytes(*id))).unzip();
    let (inviters, devices) = names(offers.values().map(|offer| &offer.by));
    let roles: Vec<i16> = offers.values().map(|offer| i16::from(offer.role.code())).collect();
    let times_ms: Vec<i64> = offers.values().map(|offer| signed(offer.time_ms)).collect();
    let mut each = users.clone();
    each.dedup();
    let mut tx = store.begin().await?;
    sqlx::query_file!(
        "queries/offers/put.sql",
        &users as &[&str],
        &ids,
        &inviters as &[&str],
        &devices as &[&str],
        &roles,
        &times_ms
    )
    .execute(&mut *tx)
    .await
    .map_err(from_driver)?;
    sqlx::query_file!("queries/offers/trim.sql", &each as &[&str], i64::from(OFFERS_MAX))
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
    tx.commit().await.map_err(from_driver)
}

/// See [`godwit_core::store::Store::offers`].
pub(crate) async fn list(
    store: &PostgresStore,
    user: &UserId,
    since_ms: u64,
) -> Result<Vec<Offer>, Error> {
    let (name, since_ms) = (user.as_str(), signed(since_ms));
    sqlx::query_file!("queries/offers/list.sql", name, since_ms)
        .fetch_all(&mut *store.readers.take().await?)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|row| {
            Ok(Offer {
                user: user.clone(),
                conversation: ConversationId(row.conversation_id.into_bytes()),
                by: Identity {
                    user: stored::user(&row.inviter_id)?,
                    device: stored::device(&row.inviter_device)?,
                },
                role: stored::role(i64::from(row.role))?,
                time_ms: stored::unsigned("time", row.time_ms)?,
            })
        })
        .collect()
}

/// See [`godwit_core::store::Store::take_offer`].
pub(crate) async fn take(
    store: &PostgresStore,
    user: &UserId,
    conversation: ConversationId,
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    let (name, id) = (user.as_str(), Uuid::from_bytes(conversation.0));
    sqlx::query_file!("queries/offers/take.sql", name, id)
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
    tx.commit().await.map_err(from_driver)
}

/// Forgets what was asked up to a time, at most `rows_max`.
pub(crate) async fn prune(
    connection: &mut PgConnection,
    until_ms: u64,
    rows_max: u32,
) -> Result<(), Error> {
    let until_ms = signed(until_ms);
    sqlx::query_file!("queries/offers/prune.sql", until_ms, i64::from(rows_max))
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}
