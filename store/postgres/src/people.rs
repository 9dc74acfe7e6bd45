//! What is known of users: settings, when they were seen, and the keys of their requests. Devices:
//! `devices`; who blocks whom: `blocks`.

use std::collections::BTreeMap;

use godwit_core::ids::{ConversationId, Identity, UserId};
use godwit_core::people::{
    Claim, Device, People, Revocation, Settings, TooMany, TooManyUnseen, User, UserChange,
};
use godwit_core::store::{Error, Pending};
use godwit_core::stored::{UserColumns, signed};
use sqlx::{PgConnection, PgExecutor};

use crate::error::from_driver;
use crate::{PostgresStore, blocks, devices, revocations, sessions};

impl People for PostgresStore {
    fn user<'a>(&'a self, id: &'a UserId) -> Pending<'a, User> {
        self.bounded(async move { get(&mut *self.readers.take().await?, id).await })
    }

    fn change_user<'a>(
        &'a self,
        id: &'a UserId,
        change: &'a UserChange,
    ) -> Pending<'a, Result<User, User>> {
        self.bounded(change_user(self, id, change))
    }

    fn note_seen<'a>(&'a self, seen: &'a [(UserId, u64)]) -> Pending<'a, ()> {
        self.bounded(note_seen(self, seen))
    }

    fn devices<'a>(&'a self, user: &'a UserId) -> Pending<'a, Vec<Device>> {
        self.bounded(devices::of_user(self, user))
    }

    fn note_devices<'a>(&'a self, connected: &'a [(Identity, u64)]) -> Pending<'a, ()> {
        self.bounded(devices::note(self, connected))
    }

    fn name_device<'a>(
        &'a self,
        device: &'a Identity,
        name: &'a str,
    ) -> Pending<'a, Option<Device>> {
        self.bounded(devices::name(self, device, name))
    }

    fn revoke_device<'a>(
        &'a self,
        device: &'a Identity,
        time_ms: u64,
        barred: Option<bool>,
    ) -> Pending<'a, Result<Device, TooManyUnseen>> {
        self.bounded(devices::revoke(self, device, time_ms, barred))
    }

    fn admit_device<'a>(&'a self, device: &'a Identity) -> Pending<'a, Option<Device>> {
        self.bounded(devices::admit(self, device))
    }

    fn revocations(&self, after: u64, limit: u32) -> Pending<'_, Vec<Revocation>> {
        self.bounded(revocations::after(self, after, limit))
    }

    fn forget_unseen(&self, before_ms: u64, limit: u32) -> Pending<'_, Vec<Identity>> {
        self.bounded(devices::forget_unseen(self, before_ms, limit))
    }

    fn blocks<'a>(&'a self, user: &'a UserId) -> Pending<'a, Vec<UserId>> {
        self.bounded(blocks::of_user(self, user))
    }

    fn blocked_by<'a>(&'a self, user: &'a UserId, among: &'a [UserId]) -> Pending<'a, Vec<UserId>> {
        self.bounded(blocks::among(self, user, among))
    }

    fn block<'a>(
        &'a self,
        user: &'a UserId,
        other: &'a UserId,
        on: bool,
        time_ms: u64,
    ) -> Pending<'a, Result<Vec<ConversationId>, TooMany>> {
        self.bounded(blocks::block(self, user, other, on, time_ms))
    }

    fn claim_key<'a>(
        &'a self,
        caller: &'a str,
        key: &'a str,
        fingerprint: &'a [u8; 32],
        time_ms: u64,
    ) -> Pending<'a, Claim> {
        self.bounded(claim_key(self, caller, key, fingerprint, time_ms))
    }
}

async fn get(executor: impl PgExecutor<'_>, id: &UserId) -> Result<User, Error> {
    let row = sqlx::query_file_as!(UserColumns, "queries/users/get.sql", id.as_str())
        .fetch_optional(executor)
        .await
        .map_err(from_driver)?;
    row.map_or_else(|| Ok(User::unknown(id.clone())), |row| row.user(id.clone()))
}

async fn change_user(
    store: &PostgresStore,
    id: &UserId,
    change: &UserChange,
) -> Result<Result<User, User>, Error> {
    let mut tx = store.begin().await?;
    hold(&mut tx, id).await?;
    let user = get(&mut *tx, id).await?;
    if change.if_version.is_some_and(|version| version != user.version) {
        // Dropping the transaction takes a row back that was made for it.
        return Ok(Err(user));
    }
    let before = user.ban();
    let user = user.changed(change);
    put(&mut tx, &user).await?;
    if user.ban() != before {
        // Before devices and sessions, as in the revocation of a device.
        let number = revocations::number(&mut tx).await?;
        revocations::put(&mut tx, number, id, None, user.ban().unwrap_or_default()).await?;
        sessions::forget_all(&mut tx, id).await?;
    }
    if change.delete {
        devices::forget_all(&mut tx, id).await?;
    }
    tx.commit().await.map_err(from_driver)?;
    Ok(Ok(user))
}

/// Locks the user's row until the end of the transaction; makes it when there is none.
async fn hold(connection: &mut PgConnection, id: &UserId) -> Result<(), Error> {
    let Settings { share_reads, share_presence } = Settings::default();
    sqlx::query_file!("queries/users/hold.sql", id.as_str(), share_reads, share_presence)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/users/lock.sql", id.as_str())
        .fetch_one(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

async fn put(connection: &mut PgConnection, user: &User) -> Result<(), Error> {
    sqlx::query_file!(
        "queries/users/put.sql",
        user.id.as_str(),
        user.name,
        user.password_hash,
        user.settings.share_reads,
        user.settings.share_presence,
        signed(user.version),
        signed(user.created_ms),
        user.revoked_ms.map(signed),
        user.suspended,
        user.deleted_ms.map(signed)
    )
    .execute(connection)
    .await
    .map_err(from_driver)?;
    Ok(())
}

async fn note_seen(store: &PostgresStore, seen: &[(UserId, u64)]) -> Result<(), Error> {
    // In the order of the ids, so that two batches cannot wait for each other in turn.
    let mut latest: BTreeMap<&str, u64> = BTreeMap::new();
    for (user, seen_ms) in seen {
        let at = latest.entry(user.as_str()).or_default();
        *at = (*at).max(*seen_ms);
    }
    if latest.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = latest.keys().copied().collect();
    let times_ms: Vec<i64> = latest.values().map(|at| signed(*at)).collect();
    let Settings { share_reads, share_presence } = Settings::default();
    sqlx::query_file!(
        "queries/users/seen.sql",
        &ids as &[&str],
        &times_ms,
        share_reads,
        share_presence
    )
    .execute(&mut *store.pool.take().await?)
    .await
    .map_err(from_driver)?;
    Ok(())
}

async fn claim_key(
    store: &PostgresStore,
    caller: &str,
    key: &str,
    fingerprint: &[u8; 32],
    time_ms: u64,
) -> Result<Claim, Error> {
    // To the end of the answer: Postgres commits after the last row.
    let stands = sqlx::query_file_scalar!(
        "queries/request_keys/claim.sql",
        caller,
        key,
        &fingerprint[..],
        signed(time_ms)
    )
    .fetch_all(&mut *store.pool.take().await?)
    .await
    .map_err(from_driver)?;
    Ok(if stands == [&fingerprint[..]] { Claim::Yours } else { Claim::Another })
}
