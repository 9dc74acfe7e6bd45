//! What is known of users: their settings, and the keys of their requests. Beside it: `devices` and
//! `blocks`.

use godwit_core::ids::{ConversationId, Identity, UserId};
use godwit_core::people::{
    Claim, Device, People, Revocation, Settings, TooMany, TooManyUnseen, User, UserChange,
};
use godwit_core::store::{Error, Pending};
use godwit_core::stored::{UserColumns, signed};
use sqlx::{SqliteConnection, SqliteExecutor};

use crate::error::from_driver;
use crate::{SqliteStore, blocks, devices, pack, revocations, sessions};

impl People for SqliteStore {
    fn user<'a>(&'a self, id: &'a UserId) -> Pending<'a, User> {
        Box::pin(async move { get(&mut *self.reader().await?, id).await })
    }

    fn change_user<'a>(
        &'a self,
        id: &'a UserId,
        change: &'a UserChange,
    ) -> Pending<'a, Result<User, User>> {
        Box::pin(change_user(self, id, change))
    }

    fn note_seen<'a>(&'a self, seen: &'a [(UserId, u64)]) -> Pending<'a, ()> {
        Box::pin(note_seen(self, seen))
    }

    fn devices<'a>(&'a self, user: &'a UserId) -> Pending<'a, Vec<Device>> {
        Box::pin(devices::of_user(self, user))
    }

    fn note_devices<'a>(&'a self, connected: &'a [(Identity, u64)]) -> Pending<'a, ()> {
        Box::pin(devices::note(self, connected))
    }

    fn name_device<'a>(
        &'a self,
        device: &'a Identity,
        name: &'a str,
    ) -> Pending<'a, Option<Device>> {
        Box::pin(devices::name(self, device, name))
    }

    fn revoke_device<'a>(
        &'a self,
        device: &'a Identity,
        time_ms: u64,
        barred: Option<bool>,
    ) -> Pending<'a, Result<Device, TooManyUnseen>> {
        Box::pin(devices::revoke(self, device, time_ms, barred))
    }

    fn admit_device<'a>(&'a self, device: &'a Identity) -> Pending<'a, Option<Device>> {
        Box::pin(devices::admit(self, device))
    }

    fn revocations(&self, after: u64, limit: u32) -> Pending<'_, Vec<Revocation>> {
        Box::pin(revocations::after(self, after, limit))
    }

    fn forget_unseen(&self, before_ms: u64, limit: u32) -> Pending<'_, Vec<Identity>> {
        Box::pin(devices::forget_unseen(self, before_ms, limit))
    }

    fn blocks<'a>(&'a self, user: &'a UserId) -> Pending<'a, Vec<UserId>> {
        Box::pin(blocks::of_user(self, user))
    }

    fn blocked_by<'a>(&'a self, user: &'a UserId, among: &'a [UserId]) -> Pending<'a, Vec<UserId>> {
        Box::pin(blocks::blocked_by(self, user, among))
    }

    fn block<'a>(
        &'a self,
        user: &'a UserId,
        other: &'a UserId,
        on: bool,
        time_ms: u64,
    ) -> Pending<'a, Result<Vec<ConversationId>, TooMany>> {
        Box::pin(blocks::block(self, user, other, on, time_ms))
    }

    fn claim_key<'a>(
        &'a self,
        caller: &'a str,
        key: &'a str,
        fingerprint: &'a [u8; 32],
        time_ms: u64,
    ) -> Pending<'a, Claim> {
        Box::pin(claim_key(self, caller, key, fingerprint, time_ms))
    }
}

async fn get(executor: impl SqliteExecutor<'_>, id: &UserId) -> Result<User, Error> {
    let name = id.as_str();
    let row = sqlx::query_file_as!(UserColumns, "queries/users/get.sql", name)
        .fetch_optional(executor)
        .await
        .map_err(from_driver)?;
    row.map_or_else(|| Ok(User::unknown(id.clone())), |row| row.user(id.clone()))
}

async fn change_user(
    store: &SqliteStore,
    id: &UserId,
    change: &UserChange,
) -> Result<Result<User, User>, Error> {
    let mut tx = store.begin().await?;
    let user = get(&mut *tx, id).await?;
    if change.if_version.is_some_and(|version| version != user.version) {
        return Ok(Err(user));
    }
    let before = user.ban();
    let user = user.changed(change);
    put(&mut tx, &user).await?;
    if change.delete {
        devices::forget_all(&mut tx, id).await?;
    }
    if user.ban() != before {
        revocations::put(&mut tx, id, None, user.ban().unwrap_or_default()).await?;
        sessions::forget_all(&mut tx, id).await?;
    }
    tx.commit().await?;
    Ok(Ok(user))
}

async fn put(connection: &mut SqliteConnection, user: &User) -> Result<(), Error> {
    let (id, name, hash) = (user.id.as_str(), &user.name, user.password_hash.as_deref());
    let Settings { share_reads, share_presence } = user.settings;
    let (version, created_ms) = (signed(user.version), signed(user.created_ms));
    let (revoked_ms, suspended) = (user.revoked_ms.map(signed), user.suspended);
    let deleted_ms = user.deleted_ms.map(signed);
    sqlx::query_file!(
        "queries/users/put.sql",
        id,
        name,
        hash,
        share_reads,
        share_presence,
        version,
        created_ms,
        revoked_ms,
        suspended,
        deleted_ms
    )
    .execute(connection)
    .await
    .map_err(from_driver)?;
    Ok(())
}

async fn note_seen(store: &SqliteStore, seen: &[(UserId, u64)]) -> Result<(), Error> {
    if seen.is_empty() {
        return Ok(());
    }
    let rows = pack::seen(seen);
    let mut tx = store.begin_behind().await?;
    sqlx::query_file!("queries/users/seen.sql", rows)
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
    tx.commit().await
}

async fn claim_key(
    store: &SqliteStore,
    caller: &str,
    key: &str,
    fingerprint: &[u8; 32],
    time_ms: u64,
) -> Result<Claim, Error> {
    let mut tx = store.begin().await?;
    let (fingerprint, created_ms) = (&fingerprint[..], signed(time_ms));
    let new =
        sqlx::query_file!("queries/request_keys/claim.sql", caller, key, fingerprint, created_ms)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?
            .rows_affected();
    if new > 0 {
        tx.commit().await?;
        return Ok(Claim::Yours);
    }
    let same = sqlx::query_file_scalar!("queries/request_keys/same.sql", caller, key, fingerprint)
        .fetch_one(&mut *tx)
        .await
        .map_err(from_driver)?;
    Ok(if same { Claim::Yours } else { Claim::Another })
}
