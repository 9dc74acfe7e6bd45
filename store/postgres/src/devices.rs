//! Devices: noted when they connect, named and revoked by people.

use std::collections::BTreeMap;

use godwit_core::ids::{Identity, UserId};
use godwit_core::limits::REVOKED_UNSEEN_MAX;
use godwit_core::people::{Ban, Device, TooManyUnseen};
use godwit_core::store::Error;
use godwit_core::stored::{DeviceColumns, signed};
use sqlx::PgConnection;

use crate::error::from_driver;
use crate::sessions::{forget, identity};
use crate::{PostgresStore, revocations};

/// See [`godwit_core::people::People::devices`].
pub(crate) async fn of_user(store: &PostgresStore, user: &UserId) -> Result<Vec<Device>, Error> {
    sqlx::query_file_as!(DeviceColumns, "queries/devices/list.sql", user.as_str())
        .fetch_all(&mut *store.readers.take().await?)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(DeviceColumns::device)
        .collect()
}

/// See [`godwit_core::people::People::note_devices`].
pub(crate) async fn note(
    store: &PostgresStore,
    connected: &[(Identity, u64)],
) -> Result<(), Error> {
    // In the order of the names, so that two batches cannot wait for each other in turn.
    let mut latest: BTreeMap<&Identity, u64> = BTreeMap::new();
    for (device, connected_ms) in connected {
        let at = latest.entry(device).or_default();
        *at = (*at).max(*connected_ms);
    }
    if latest.is_empty() {
        return Ok(());
    }
    let users: Vec<&str> = latest.keys().map(|device| device.user.as_str()).collect();
    let devices: Vec<&str> = latest.keys().map(|device| device.device.as_str()).collect();
    let times_ms: Vec<i64> = latest.values().map(|at| signed(*at)).collect();
    sqlx::query_file!(
        "queries/devices/note.sql",
        &users as &[&str],
        &devices as &[&str],
        &times_ms
    )
    .execute(&mut *store.pool.take().await?)
    .await
    .map_err(from_driver)?;
    Ok(())
}

/// See [`godwit_core::people::People::name_device`].
pub(crate) async fn name(
    store: &PostgresStore,
    device: &Identity,
    name: &str,
) -> Result<Option<Device>, Error> {
    let (user, id) = (device.user.as_str(), device.device.as_str());
    // To the end of the answer: Postgres commits after the last row.
    sqlx::query_file_as!(DeviceColumns, "queries/devices/name.sql", user, id, name)
        .fetch_all(&mut *store.pool.take().await?)
        .await
        .map_err(from_driver)?
        .pop()
        .map(DeviceColumns::device)
        .transpose()
}

/// See [`godwit_core::people::People::revoke_device`].
pub(crate) async fn revoke(
    store: &PostgresStore,
    device: &Identity,
    time_ms: u64,
    barred: Option<bool>,
) -> Result<Result<Device, TooManyUnseen>, Error> {
    let mut tx = store.begin().await?;
    // First: one revocation after the other, so that two together are not beyond the bound.
    let number = revocations::number(&mut tx).await?;
    let (user, id) = (device.user.as_str(), device.device.as_str());
    let found = sqlx::query_file!("queries/devices/unseen.sql", user, id)
        .fetch_one(&mut *tx)
        .await
        .map_err(from_driver)?;
    if !found.known && found.unseen >= i64::from(REVOKED_UNSEEN_MAX) {
        return Ok(Err(TooManyUnseen));
    }
    let revoked = sqlx::query_file_as!(
        DeviceColumns,
        "queries/devices/revoke.sql",
        user,
        id,
        signed(time_ms),
        barred
    )
    .fetch_one(&mut *tx)
    .await
    .map_err(from_driver)?
    .device()?;
    revocations::put(&mut tx, number, &device.user, Some(&device.device), ban(&revoked)).await?;
    forget(&mut tx, std::slice::from_ref(device)).await?;
    tx.commit().await.map_err(from_driver)?;
    Ok(Ok(revoked))
}

/// See [`godwit_core::people::People::admit_device`].
pub(crate) async fn admit(
    store: &PostgresStore,
    device: &Identity,
) -> Result<Option<Device>, Error> {
    let mut tx = store.begin().await?;
    let number = revocations::number(&mut tx).await?;
    let (user, id) = (device.user.as_str(), device.device.as_str());
    let row = sqlx::query_file_as!(DeviceColumns, "queries/devices/admit.sql", user, id)
        .fetch_optional(&mut *tx)
        .await
        .map_err(from_driver)?;
    let Some(admitted) = row.map(DeviceColumns::device).transpose()? else { return Ok(None) };
    revocations::put(&mut tx, number, &device.user, Some(&device.device), ban(&admitted)).await?;
    tx.commit().await.map_err(from_driver)?;
    Ok(Some(admitted))
}

fn ban(device: &Device) -> Ban {
    Ban { issued_until_ms: device.revoked_ms, barred: device.barred }
}

/// See [`godwit_core::people::People::forget_unseen`].
pub(crate) async fn forget_unseen(
    store: &PostgresStore,
    before_ms: u64,
    limit: u32,
) -> Result<Vec<Identity>, Error> {
    let mut tx = store.begin().await?;
    let limit = i64::from(limit);
    let rows = sqlx::query_file!("queries/devices/forget_unseen.sql", signed(before_ms), limit)
        .fetch_all(&mut *tx)
        .await
        .map_err(from_driver)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let users: Vec<&str> = rows.iter().map(|row| row.user_id.as_str()).collect();
    let devices: Vec<&str> = rows.iter().map(|row| row.device_id.as_str()).collect();
    sqlx::query_file!("queries/revocations/forget.sql", &users as &[&str], &devices as &[&str])
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
    tx.commit().await.map_err(from_driver)?;
    rows.iter().map(|row| identity(&row.user_id, &row.device_id)).collect()
}

/// Forgets all devices of a user, and what was revoked of them one by one.
pub(crate) async fn forget_all(connection: &mut PgConnection, user: &UserId) -> Result<(), Error> {
    sqlx::query_file!("queries/devices/forget_all.sql", user.as_str())
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/revocations/forget_devices.sql", user.as_str())
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}
