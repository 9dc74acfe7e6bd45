//! Devices: when they connected, what they are called, and which are revoked.

use godwit_core::ids::{Identity, UserId};
use godwit_core::limits::REVOKED_UNSEEN_MAX;
use godwit_core::people::{Ban, Device, TooManyUnseen};
use godwit_core::store::Error;
use godwit_core::stored::{DeviceColumns, signed};
use sqlx::SqliteConnection;

use crate::error::from_driver;
use crate::{SqliteStore, pack, revocations, sessions};

/// See [`godwit_core::people::People::devices`].
pub(crate) async fn of_user(store: &SqliteStore, user: &UserId) -> Result<Vec<Device>, Error> {
    let user = user.as_str();
    sqlx::query_file_as!(DeviceColumns, "queries/devices/list.sql", user)
        .fetch_all(&mut *store.reader().await?)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(DeviceColumns::device)
        .collect()
}

/// See [`godwit_core::people::People::note_devices`].
pub(crate) async fn note(store: &SqliteStore, connected: &[(Identity, u64)]) -> Result<(), Error> {
    if connected.is_empty() {
        return Ok(());
    }
    let rows = pack::connected(connected);
    let mut tx = store.begin_behind().await?;
    sqlx::query_file!("queries/devices/note.sql", rows)
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
    tx.commit().await
}

/// See [`godwit_core::people::People::name_device`].
pub(crate) async fn name(
    store: &SqliteStore,
    device: &Identity,
    name: &str,
) -> Result<Option<Device>, Error> {
    let (user_id, device_id) = (device.user.as_str(), device.device.as_str());
    let mut tx = store.begin().await?;
    let named =
        sqlx::query_file_as!(DeviceColumns, "queries/devices/name.sql", user_id, device_id, name)
            .fetch_optional(&mut *tx)
            .await
            .map_err(from_driver)?;
    tx.commit().await?;
    named.map(DeviceColumns::device).transpose()
}

/// See [`godwit_core::people::People::revoke_device`].
pub(crate) async fn revoke(
    store: &SqliteStore,
    device: &Identity,
    time_ms: u64,
    barred: Option<bool>,
) -> Result<Result<Device, TooManyUnseen>, Error> {
    let mut tx = store.begin().await?;
    let (user_id, device_id) = (device.user.as_str(), device.device.as_str());
    let found = sqlx::query_file!("queries/devices/unseen.sql", user_id, device_id)
        .fetch_one(&mut *tx)
        .await
        .map_err(from_driver)?;
    if !found.known && found.unseen >= i64::from(REVOKED_UNSEEN_MAX) {
        return Ok(Err(TooManyUnseen));
    }
    let time_ms = signed(time_ms);
    let row = sqlx::query_file_as!(
        DeviceColumns,
        "queries/devices/revoke.sql",
        user_id,
        device_id,
        time_ms,
        barred
    )
    .fetch_one(&mut *tx)
    .await
    .map_err(from_driver)?;
    let revoked = row.device()?;
    revocations::put(&mut tx, &device.user, Some(&device.device), ban(&revoked)).await?;
    sessions::forget(&mut tx, std::slice::from_ref(device)).await?;
    tx.commit().await?;
    Ok(Ok(revoked))
}

/// See [`godwit_core::people::People::admit_device`].
pub(crate) async fn admit(store: &SqliteStore, device: &Identity) -> Result<Option<Device>, Error> {
    let mut tx = store.begin().await?;
    let (user_id, device_id) = (device.user.as_str(), device.device.as_str());
    let row = sqlx::query_file_as!(DeviceColumns, "queries/devices/admit.sql", user_id, device_id)
        .fetch_optional(&mut *tx)
        .await
        .map_err(from_driver)?;
    let Some(admitted) = row.map(DeviceColumns::device).transpose()? else { return Ok(None) };
    revocations::put(&mut tx, &device.user, Some(&device.device), ban(&admitted)).await?;
    tx.commit().await?;
    Ok(Some(admitted))
}

fn ban(device: &Device) -> Ban {
    Ban { issued_until_ms: device.revoked_ms, barred: device.barred }
}

/// See [`godwit_core::people::People::forget_unseen`].
pub(crate) async fn forget_unseen(
    store: &SqliteStore,
    before_ms: u64,
    limit: u32,
) -> Result<Vec<Identity>, Error> {
    let (mut tx, before_ms) = (store.begin().await?, signed(before_ms));
    let forgotten = sqlx::query_file!("queries/devices/forget_unseen.sql", before_ms, limit)
        .fetch_all(&mut *tx)
        .await
        .map_err(from_driver)?
        .iter()
        .map(|row| sessions::identity(&row.user_id, &row.device_id))
        .collect::<Result<Vec<_>, _>>()?;
    if !forgotten.is_empty() {
        let devices = pack::devices(&forgotten);
        sqlx::query_file!("queries/revocations/forget.sql", devices)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
        tx.commit().await?;
    }
    Ok(forgotten)
}

/// Forgets all devices of a user, and what was revoked of them one by one.
pub(crate) async fn forget_all(
    connection: &mut SqliteConnection,
    user: &UserId,
) -> Result<(), Error> {
    let user = user.as_str();
    sqlx::query_file!("queries/devices/forget_all.sql", user)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/revocations/forget_devices.sql", user)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}
