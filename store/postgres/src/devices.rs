//! Devices: noted when they connect, named and revoked by people.

use std::collections::BTreeMap;

use godwit_core::ids::{Identity, UserId};
use godwit_core::people::Device;
use godwit_core::store::Error;
use godwit_core::stored::{self, signed};

use crate::PostgresStore;
use crate::error::from_driver;
use crate::sessions::{forget, identity};

/// A device as a row.
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
pub(crate) async fn of_user(store: &PostgresStore, user: &UserId) -> Result<Vec<Device>, Error> {
    sqlx::query_file_as!(Row, "queries/devices/list.sql", user.as_str())
        .fetch_all(&store.pool)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(Row::device)
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
    .execute(&store.pool)
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
    sqlx::query_file_as!(Row, "queries/devices/name.sql", user, id, name)
        .fetch_all(&store.pool)
        .await
        .map_err(from_driver)?
        .pop()
        .map(Row::device)
        .transpose()
}

/// See [`godwit_core::people::People::revoke_device`].
pub(crate) async fn revoke(
    store: &PostgresStore,
    device: &Identity,
    time_ms: u64,
) -> Result<Device, Error> {
    let mut tx = store.begin().await?;
    let (user, id) = (device.user.as_str(), device.device.as_str());
    let row = sqlx::query_file_as!(Row, "queries/devices/revoke.sql", user, id, signed(time_ms))
        .fetch_one(&mut *tx)
        .await
        .map_err(from_driver)?;
    forget(&mut tx, std::slice::from_ref(device)).await?;
    tx.commit().await.map_err(from_driver)?;
    row.device()
}

/// See [`godwit_core::people::People::revoked`].
pub(crate) async fn revoked(
    store: &PostgresStore,
    after: Option<&Identity>,
    limit: u32,
) -> Result<Vec<(Identity, u64)>, Error> {
    let (user, device) =
        after.map_or(("", ""), |after| (after.user.as_str(), after.device.as_str()));
    sqlx::query_file!("queries/devices/revoked.sql", user, device, i64::from(limit))
        .fetch_all(&store.pool)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|row| {
            let revoked_ms = stored::unsigned("time", row.revoked_ms)?;
            Ok((identity(&row.user_id, &row.device_id)?, revoked_ms))
        })
        .collect()
}
