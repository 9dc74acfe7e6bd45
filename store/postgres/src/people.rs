//! What is known of users: settings, when they were seen, and the keys of their requests. Devices:
//! `devices`; who blocks whom: `blocks`.

use std::collections::BTreeMap;

use godwit_core::ids::{ConversationId, Identity, UserId};
use godwit_core::people::{Claim, Device, People, Settings, TooMany, User, UserChange};
use godwit_core::store::{Error, Pending};
use godwit_core::stored::{self, signed};
use sqlx::{PgConnection, PgExecutor};

use crate::error::from_driver;
use crate::{PostgresStore, blocks, devices};

impl People for PostgresStore {
    fn user<'a>(&'a self, id: &'a UserId) -> Pending<'a, User> {
        self.bounded(get(&self.pool, id))
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

    fn revoke_device<'a>(&'a self, device: &'a Identity, time_ms: u64) -> Pending<'a, Device> {
        self.bounded(devices::revoke(self, device, time_ms))
    }

    fn revoked<'a>(
        &'a self,
        after: Option<&'a Identity>,
        limit: u32,
    ) -> Pending<'a, Vec<(Identity, u64)>> {
        self.bounded(devices::revoked(self, after, limit))
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
    let row = sqlx::query_file!("queries/users/get.sql", id.as_str())
        .fetch_optional(executor)
        .await
        .map_err(from_driver)?;
    let Some(row) = row else { return Ok(User::unknown(id.clone())) };
    Ok(User {
        id: id.clone(),
        name: row.name,
        password_hash: row.password_hash,
        settings: Settings { share_reads: row.share_reads, share_presence: row.share_presence },
        version: stored::unsigned("version", row.version)?,
        created_ms: stored::unsigned("time", row.created_ms)?,
        last_seen_ms: row.last_seen_ms.map(|at| stored::unsigned("time", at)).transpose()?,
    })
}

async fn change_user(
    store: &PostgresStore,
    id: &UserId,
    change: &UserChange,
) -> Result<Result<User, User>, Error> {
    let mut tx = store.begin().await?;
    hold(&mut tx, id).await?;
    let mut user = get(&mut *tx, id).await?;
    if change.if_version.is_some_and(|version| version != user.version) {
        // Dropping the transaction takes a row back that was made for it.
        return Ok(Err(user));
    }
    if user.version == 0 {
        user.created_ms = change.time_ms;
    }
    user.version += 1;
    if let Some(name) = &change.name {
        user.name.clone_from(name);
    }
    if let Some(hash) = &change.password_hash {
        user.password_hash = Some(hash.clone());
    }
    let settings = &mut user.settings;
    settings.share_reads = change.share_reads.unwrap_or(settings.share_reads);
    settings.share_presence = change.share_presence.unwrap_or(settings.share_presence);
    put(&mut tx, &user).await?;
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
        signed(user.created_ms)
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
    .execute(&store.pool)
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
    .fetch_all(&store.pool)
    .await
    .map_err(from_driver)?;
    Ok(if stands == [&fingerprint[..]] { Claim::Yours } else { Claim::Another })
}
