//! Devices: when they connected, what they are called, and which are revoked.

use godwit_core::ids::{Identity, UserId};
use godwit_core::people::Device;
use godwit_core::store::Error;
use godwit_core::stored::{self, signed};

use crate::error::from_driver;
use crate::{SqliteStore, pack, sessions};

/// A device's columns.
struct Row {
    device_id: String,
    name: String,
    created_ms: i64,
    connected_ms: i64,
    revoked_ms: Option<i64>,
}

impl Row {
    fn device(self) -> Result<Device, Error> {
        Ok(Device {
            id: stored::device(&self.device_id)?,
            name: self.name,
            created_ms: stored::unsigned("time", self.created_ms)?,
            connected_ms: stored::unsigned("time", self.connected_ms)?,
            revoked_ms: self.revoked_ms.map(|at| stored::unsigned("time", at)).transpose()?,
        })
    }
}

/// See [`godwit_core::people::People::devices`].
pub(crate) async fn of_user(store: &SqliteStore, user: &UserId) -> Result<Vec<Device>, Error> {
    let user = user.as_str();
    sqlx::query_file_as!(Row, "queries/devices/list.sql", user)
        .fetch_all(&store.readers)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(Row::device)
        .collect()
}

/// See [`godwit_core::people::People::note_devices`].
pub(crate) async fn note(store: &SqliteStore, connected: &[(Identity, u64)]) -> Result<(), Error> {
    if connected.is_empty() {
        return Ok(());
    }
    let rows = pack::connected(connected);
    sqlx::query_file!("queries/devices/note.sql", rows)
        .execute(&store.writer)
        .await
        .map_err(from_driver)?;
    Ok(())
}

/// See [`godwit_core::people::People::name_device`].
pub(crate) async fn name(
    store: &SqliteStore,
    device: &Identity,
    name: &str,
) -> Result<Option<Device>, Error> {
    let (user_id, device_id) = (device.user.as_str(), device.device.as_str());
    sqlx::query_file_as!(Row, "queries/devices/name.sql", user_id, device_id, name)
        .fetch_optional(&store.writer)
        .await
        .map_err(from_driver)?
        .map(Row::device)
        .transpose()
}

/// See [`godwit_core::people::People::revoke_device`].
pub(crate) async fn revoke(
    store: &SqliteStore,
    device: &Identity,
    time_ms: u64,
) -> Result<Device, Error> {
    let mut tx = store.begin().await?;
    let (user_id, device_id) = (device.user.as_str(), device.device.as_str());
    let time_ms = signed(time_ms);
    let row = sqlx::query_file_as!(Row, "queries/devices/revoke.sql", user_id, device_id, time_ms)
        .fetch_one(&mut *tx)
        .await
        .map_err(from_driver)?;
    sessions::forget(&mut tx, std::slice::from_ref(device)).await?;
    tx.commit().await.map_err(from_driver)?;
    row.device()
}

/// See [`godwit_core::people::People::revoked`].
pub(crate) async fn revoked(
    store: &SqliteStore,
    after: Option<&Identity>,
    limit: u32,
) -> Result<Vec<(Identity, u64)>, Error> {
    // Every name is above the empty text.
    let (user, device) =
        after.map_or(("", ""), |after| (after.user.as_str(), after.device.as_str()));
    sqlx::query_file!("queries/devices/revoked.sql", user, device, limit)
        .fetch_all(&store.readers)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|row| {
            let revoked_ms = stored::unsigned("time", row.revoked_ms)?;
            Ok((sessions::identity(&row.user_id, &row.device_id)?, revoked_ms))
        })
        .collect()
}
