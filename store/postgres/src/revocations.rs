//! Revocations: durable, numbered in the order of their commits.

use godwit_core::ids::{DeviceId, UserId};
use godwit_core::people::{Ban, Revocation};
use godwit_core::store::Error;
use godwit_core::stored::{self, signed};
use sqlx::PgConnection;

use crate::PostgresStore;
use crate::error::from_driver;

/// The next number; nobody else gets one before the end of the transaction.
pub(crate) async fn number(connection: &mut PgConnection) -> Result<i64, Error> {
    sqlx::query_file_scalar!("queries/revocations/number.sql")
        .fetch_one(connection)
        .await
        .map_err(from_driver)
}

/// Notes what is refused now of a device, or (`None`) of all devices of a user.
pub(crate) async fn put(
    connection: &mut PgConnection,
    number: i64,
    user: &UserId,
    device: Option<&DeviceId>,
    ban: Ban,
) -> Result<(), Error> {
    sqlx::query_file!(
        "queries/revocations/put.sql",
        user.as_str(),
        device.map_or("", DeviceId::as_str),
        number,
        ban.issued_until_ms.map(signed),
        ban.barred
    )
    .execute(connection)
    .await
    .map_err(from_driver)?;
    Ok(())
}

/// See [`godwit_core::people::People::revocations`].
pub(crate) async fn after(
    store: &PostgresStore,
    after: u64,
    limit: u32,
) -> Result<Vec<Revocation>, Error> {
    sqlx::query_file!("queries/revocations/after.sql", signed(after), i64::from(limit))
        .fetch_all(&mut *store.pool.take().await?)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|row| {
            let device = Some(row.device_id).filter(|id| !id.is_empty());
            let until = row.revoked_ms.map(|at| stored::unsigned("time", at)).transpose()?;
            Ok(Revocation {
                number: stored::unsigned("number", row.number)?,
                user: stored::user(&row.user_id)?,
                device: device.as_deref().map(stored::device).transpose()?,
                ban: Ban { issued_until_ms: until, barred: row.barred },
            })
        })
        .collect()
}
