//! What is kept for devices between their connections.

use std::collections::HashMap;
use std::fmt::Write as _;

use godwit_core::cursor::{Feed, Opened, Opening, Scope, SubscriptionChange};
use godwit_core::ids::{Identity, UserId};
use godwit_core::session::{self, Kept};
use godwit_core::store::{Error, Prune};
use godwit_core::stored::{self, signed};
use sqlx::SqliteConnection;

use crate::error::from_driver;
use crate::{SqliteStore, limits, notices, pack};

/// See [`godwit_core::store::Store::open_sessions`].
pub(crate) async fn open(store: &SqliteStore, batch: &[Opening]) -> Result<Vec<Opened>, Error> {
    let mut tx = store.begin().await?;
    let kept = load(&mut tx, batch).await?;
    let plan = session::open(batch, kept);
    forget(&mut tx, &plan.forget).await?;
    if !plan.keep.is_empty() {
        let rows = pack::rows(&plan.keep, |(device, expiry_s), text| {
            let _ = write!(text, r#"["{}","{}",{expiry_s}]"#, device.user, device.device);
        });
        sqlx::query_file!("queries/sessions/keep.sql", rows)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
    }
    tx.commit().await?;
    Ok(plan.answers)
}

/// Reads the kept sessions of the batch's devices.
async fn load(
    connection: &mut SqliteConnection,
    batch: &[Opening],
) -> Result<HashMap<Identity, Kept>, Error> {
    let mut devices: Vec<Identity> = batch.iter().map(|opening| opening.device.clone()).collect();
    devices.sort();
    devices.dedup();
    let mut kept = HashMap::with_capacity(devices.len());
    let devices = pack::devices(&devices);
    for row in sqlx::query_file!("queries/sessions/load.sql", devices)
        .fetch_all(&mut *connection)
        .await
        .map_err(from_driver)?
    {
        let expiry_s = u32::try_from(row.expiry_s).map_err(|_| stored::broken("expiry"))?;
        let closed_ms = row.closed_ms.map(|at| stored::unsigned("end", at)).transpose()?;
        let session = Kept { expiry_s, closed_ms, subscriptions: Vec::new() };
        kept.insert(identity(&row.user_id, &row.device_id)?, session);
    }
    if kept.is_empty() {
        return Ok(kept);
    }
    for row in sqlx::query_file!("queries/subscriptions/load.sql", devices)
        .fetch_all(connection)
        .await
        .map_err(from_driver)?
    {
        if let Some(session) = kept.get_mut(&identity(&row.user_id, &row.device_id)?) {
            let subscription = stored::subscription(row.filter, row.options, row.identifier)?;
            session.subscriptions.push(subscription);
        }
    }
    Ok(kept)
}

/// Reads a device's two columns.
pub(crate) fn identity(user: &str, device: &str) -> Result<Identity, Error> {
    Ok(Identity { user: stored::user(user)?, device: stored::device(device)? })
}

/// Removes sessions with their subscriptions and cursors.
pub(crate) async fn forget(
    connection: &mut SqliteConnection,
    devices: &[Identity],
) -> Result<(), Error> {
    if devices.is_empty() {
        return Ok(());
    }
    for device in devices {
        stop(connection, device, None, Scope::All).await?;
    }
    let devices = pack::devices(devices);
    sqlx::query_file!("queries/sessions/forget.sql", devices)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

/// Removes all sessions of a user, as [`forget`].
pub(crate) async fn forget_all(
    connection: &mut SqliteConnection,
    user: &UserId,
) -> Result<(), Error> {
    let name = user.as_str();
    let devices = sqlx::query_file_scalar!("queries/sessions/of_user.sql", name)
        .fetch_all(&mut *connection)
        .await
        .map_err(from_driver)?
        .iter()
        .map(|device| identity(name, device))
        .collect::<Result<Vec<_>, _>>()?;
    forget(connection, &devices).await
}

/// Forgets cursors of one feed, or of all.
async fn stop(
    connection: &mut SqliteConnection,
    device: &Identity,
    feed: Option<Feed>,
    scope: Scope,
) -> Result<(), Error> {
    let (user, device) = (device.user.as_str(), device.device.as_str());
    let (feed, conversation) = (feed.map(Feed::code), scope_column(scope));
    sqlx::query_file!("queries/cursors/stop.sql", user, device, feed, conversation)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

fn scope_column(scope: Scope) -> Option<Vec<u8>> {
    match scope {
        Scope::All => None,
        Scope::One(id) => Some(id.0.to_vec()),
    }
}

/// See [`godwit_core::store::Store::close_sessions`].
pub(crate) async fn close(store: &SqliteStore, batch: &[Opening]) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    let plan = session::close(batch);
    forget(&mut tx, &plan.forget).await?;
    if !plan.closed.is_empty() {
        let rows = pack::rows(&plan.closed, |(device, expiry_s, time_ms), text| {
            let (user, device, at) = (&device.user, &device.device, signed(*time_ms));
            let _ = write!(text, r#"["{user}","{device}",{expiry_s},{at}]"#);
        });
        sqlx::query_file!("queries/sessions/close.sql", rows)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
    }
    tx.commit().await
}

/// See [`godwit_core::store::Store::change_subscriptions`].
pub(crate) async fn change_subscriptions(
    store: &SqliteStore,
    device: &Identity,
    change: &SubscriptionChange,
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    let (user_id, device_id) = (device.user.as_str(), device.device.as_str());
    let kept = sqlx::query_file_scalar!("queries/sessions/exists.sql", user_id, device_id)
        .fetch_one(&mut *tx)
        .await
        .map_err(from_driver)?;
    if !kept {
        return Ok(());
    }
    for filter in &change.remove {
        sqlx::query_file!("queries/subscriptions/remove.sql", user_id, device_id, filter)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
    }
    for put in &change.put {
        let (filter, options, identifier) = (&put.filter, put.options, put.identifier);
        sqlx::query_file!(
            "queries/subscriptions/put.sql",
            user_id,
            device_id,
            filter,
            options,
            identifier
        )
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
    }
    for (feed, scope) in &change.stop {
        if !feed.is_log() {
            notices::stop(&mut tx, device, *feed).await?;
            continue;
        }
        stop(&mut tx, device, Some(*feed), *scope).await?;
    }
    for (feed, scope) in &change.start {
        if !feed.is_log() {
            notices::start(&mut tx, device, *feed).await?;
            continue;
        }
        let (feed, conversation) = (feed.code(), scope_column(*scope));
        sqlx::query_file!("queries/cursors/start.sql", user_id, device_id, feed, conversation)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
    }
    tx.commit().await
}

/// Removes sessions that have expired, oldest first, at most `rows_max`; returns how many, and whether
/// it stopped before the end because it has made enough steps. Their cursors go first, some
/// conversations at a time, each time only if the session is still expired.
pub(crate) async fn prune(store: &SqliteStore, prune: Prune) -> Result<(u64, bool), Error> {
    let now_ms = signed(prune.now_ms);
    let expired = sqlx::query_file!("queries/sessions/expired.sql", now_ms, prune.rows_max)
        .fetch_all(&mut *store.reader().await?)
        .await
        .map_err(from_driver)?;
    let (mut removed, mut steps) = (0, 0);
    for row in expired {
        if steps >= limits::SWEEP_STEPS_MAX {
            return Ok((removed, true));
        }
        let device = identity(&row.user_id, &row.device_id)?;
        // Every id is above the empty blob.
        let mut after = Vec::new();
        loop {
            steps += 1;
            match sweep(store, &device, now_ms, after).await? {
                Swept::Next(last) => after = last,
                Swept::Gone => {
                    removed += 1;
                    break;
                }
                Swept::Alive => break,
            }
        }
    }
    Ok((removed, false))
}

/// What a step has found.
enum Swept {
    /// There are cursors above this conversation.
    Next(Vec<u8>),
    /// The session is gone with the last of them.
    Gone,
    /// It was opened again meanwhile, or is gone already.
    Alive,
}

async fn sweep(
    store: &SqliteStore,
    device: &Identity,
    now_ms: i64,
    after: Vec<u8>,
) -> Result<Swept, Error> {
    let (user, name) = (device.user.as_str(), device.device.as_str());
    let mut tx = store.begin_behind().await?;
    let expired = sqlx::query_file_scalar!("queries/sessions/is_expired.sql", user, name, now_ms)
        .fetch_one(&mut *tx)
        .await
        .map_err(from_driver)?;
    if !expired {
        return Ok(Swept::Alive);
    }
    let limit = limits::SWEEP_CONVERSATIONS;
    let end = sqlx::query_file_scalar!("queries/cursors/page_end.sql", user, after, limit)
        .fetch_optional(&mut *tx)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/cursors/sweep.sql", user, name, after, end)
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
    if end.is_none() {
        let devices = pack::devices(std::slice::from_ref(device));
        sqlx::query_file!("queries/sessions/forget.sql", devices)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
    }
    tx.commit().await?;
    Ok(end.map_or(Swept::Gone, Swept::Next))
}

impl SqliteStore {
    /// Notes at the start of the only serving process that nobody is connected: sessions that a
    /// crash left open begin to expire at `now_ms` (milliseconds since 1970). Returns how many.
    pub async fn mark_all_closed(&self, now_ms: u64) -> Result<u64, Error> {
        let now_ms = signed(now_ms);
        let mut tx = self.begin().await?;
        let closed = sqlx::query_file!("queries/sessions/close_all.sql", now_ms)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
        tx.commit().await?;
        Ok(closed.rows_affected())
    }
}
