//! What is kept for devices between their connections.

use std::collections::HashMap;

use godwit_core::cursor::{Feed, Opened, Opening, Scope, SubscriptionChange};
use godwit_core::ids::{Identity, UserId};
use godwit_core::session::{self, Kept};
use godwit_core::store::{Error, Prune};
use godwit_core::stored::{self, signed};
use sqlx::PgConnection;

use crate::error::from_driver;
use crate::{PostgresStore, column, limits, notices};

/// The names of devices, as two arrays.
pub(crate) fn names<'a>(
    devices: impl Iterator<Item = &'a Identity>,
) -> (Vec<&'a str>, Vec<&'a str>) {
    devices.map(|device| (device.user.as_str(), device.device.as_str())).unzip()
}

/// See [`godwit_core::store::Store::open_sessions`].
pub(crate) async fn open(store: &PostgresStore, batch: &[Opening]) -> Result<Vec<Opened>, Error> {
    let mut tx = store.begin().await?;
    let mut devices: Vec<&Identity> = batch.iter().map(|opening| &opening.device).collect();
    devices.sort();
    devices.dedup();
    let kept = load(&mut tx, &devices).await?;
    let plan = session::open(batch, kept);
    forget(&mut tx, &plan.forget).await?;
    if !plan.keep.is_empty() {
        let (users, devices) = names(plan.keep.iter().map(|(device, _)| device));
        let expiries_s: Vec<i64> = plan.keep.iter().map(|(_, expiry)| i64::from(*expiry)).collect();
        sqlx::query_file!(
            "queries/sessions/keep.sql",
            &users as &[&str],
            &devices as &[&str],
            &expiries_s
        )
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
    }
    tx.commit().await.map_err(from_driver)?;
    Ok(plan.answers)
}

/// Reads and locks the kept sessions of these devices.
async fn load(
    connection: &mut PgConnection,
    devices: &[&Identity],
) -> Result<HashMap<Identity, Kept>, Error> {
    let (users, devices) = names(devices.iter().copied());
    let mut kept = HashMap::new();
    for row in
        sqlx::query_file!("queries/sessions/load.sql", &users as &[&str], &devices as &[&str])
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
    for row in
        sqlx::query_file!("queries/subscriptions/load.sql", &users as &[&str], &devices as &[&str])
            .fetch_all(connection)
            .await
            .map_err(from_driver)?
    {
        if let Some(session) = kept.get_mut(&identity(&row.user_id, &row.device_id)?) {
            let options = i64::from(row.options);
            let subscription = stored::subscription(row.filter, options, row.identifier)?;
            session.subscriptions.push(subscription);
        }
    }
    Ok(kept)
}

pub(crate) fn identity(user: &str, device: &str) -> Result<Identity, Error> {
    Ok(Identity { user: stored::user(user)?, device: stored::device(device)? })
}

/// Removes sessions with their subscriptions and cursors.
pub(crate) async fn forget(
    connection: &mut PgConnection,
    devices: &[Identity],
) -> Result<(), Error> {
    if devices.is_empty() {
        return Ok(());
    }
    let (users, names) = names(devices.iter());
    sqlx::query_file!("queries/sessions/forget.sql", &users as &[&str], &names as &[&str])
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    // The session first: whoever makes a cursor holds it, so none comes after this.
    for device in devices {
        stop(connection, device, None, Scope::All).await?;
    }
    Ok(())
}

/// Removes all sessions of a user, as [`forget`].
pub(crate) async fn forget_all(connection: &mut PgConnection, user: &UserId) -> Result<(), Error> {
    let devices = sqlx::query_file_scalar!("queries/sessions/of_user.sql", user.as_str())
        .fetch_all(&mut *connection)
        .await
        .map_err(from_driver)?
        .iter()
        .map(|device| identity(user.as_str(), device))
        .collect::<Result<Vec<_>, _>>()?;
    forget(connection, &devices).await
}

/// Forgets cursors of one feed, or of all.
async fn stop(
    connection: &mut PgConnection,
    device: &Identity,
    feed: Option<Feed>,
    scope: Scope,
) -> Result<(), Error> {
    let (user, device) = (device.user.as_str(), device.device.as_str());
    let (feed, conversation) = (feed.map(|feed| i16::from(feed.code())), scope_column(scope));
    sqlx::query_file!("queries/cursors/stop.sql", user, device, feed, conversation)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

fn scope_column(scope: Scope) -> Option<uuid::Uuid> {
    match scope {
        Scope::All => None,
        Scope::One(id) => Some(column(id)),
    }
}

/// See [`godwit_core::store::Store::close_sessions`].
pub(crate) async fn close(store: &PostgresStore, batch: &[Opening]) -> Result<(), Error> {
    let plan = session::close(batch);
    let mut tx = store.begin().await?;
    forget(&mut tx, &plan.forget).await?;
    if !plan.closed.is_empty() {
        let (users, devices) = names(plan.closed.iter().map(|(device, ..)| device));
        let expiries_s: Vec<i64> = plan.closed.iter().map(|(_, s, _)| i64::from(*s)).collect();
        let ends_ms: Vec<i64> = plan.closed.iter().map(|(.., at)| signed(*at)).collect();
        sqlx::query_file!(
            "queries/sessions/close.sql",
            &users as &[&str],
            &devices as &[&str],
            &expiries_s,
            &ends_ms
        )
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
    }
    tx.commit().await.map_err(from_driver)
}

/// See [`godwit_core::store::Store::change_subscriptions`].
pub(crate) async fn change_subscriptions(
    store: &PostgresStore,
    device: &Identity,
    change: &SubscriptionChange,
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    let (user, name) = (device.user.as_str(), device.device.as_str());
    if hold(&mut tx, &[device]).await?.is_empty() {
        return Ok(());
    }
    if !change.remove.is_empty() {
        sqlx::query_file!("queries/subscriptions/remove.sql", user, name, &change.remove)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
    }
    if !change.put.is_empty() {
        // A filter twice in one change: the last one counts.
        let put: HashMap<&str, _> = change.put.iter().map(|s| (s.filter.as_str(), s)).collect();
        let filters: Vec<&str> = put.keys().copied().collect();
        let options: Vec<i16> = put.values().map(|s| i16::from(s.options)).collect();
        let identifiers: Vec<_> = put.values().map(|s| s.identifier.map(i64::from)).collect();
        sqlx::query_file!(
            "queries/subscriptions/put.sql",
            user,
            name,
            &filters as &[&str],
            &options,
            &identifiers as &[Option<i64>]
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
        let (feed, conversation) = (i16::from(feed.code()), scope_column(*scope));
        sqlx::query_file!("queries/cursors/start.sql", user, name, feed, conversation)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
    }
    tx.commit().await.map_err(from_driver)
}

/// Which of these devices have a kept session; it stays so until the end of the transaction.
pub(crate) async fn hold(
    connection: &mut PgConnection,
    devices: &[&Identity],
) -> Result<Vec<Identity>, Error> {
    let (users, devices) = names(devices.iter().copied());
    sqlx::query_file!("queries/sessions/hold.sql", &users as &[&str], &devices as &[&str])
        .fetch_all(connection)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|row| identity(&row.user_id, &row.device_id))
        .collect()
}

/// Removes sessions that have expired, oldest first, at most `rows_max`; returns how many, and whether
/// it stopped before the end because it has made enough steps. Their cursors go first, some
/// conversations at a time, each time only if the session is still expired.
pub(crate) async fn prune(store: &PostgresStore, prune: Prune) -> Result<(u64, bool), Error> {
    let (now_ms, rows_max) = (signed(prune.now_ms), i64::from(prune.rows_max));
    let expired = store
        .bounded(async {
            sqlx::query_file!("queries/sessions/expired.sql", now_ms, rows_max)
                .fetch_all(&mut *store.pool.take().await?)
                .await
                .map_err(from_driver)
        })
        .await?;
    let (mut removed, mut steps) = (0, 0);
    for row in expired {
        if steps >= limits::SWEEP_STEPS_MAX {
            return Ok((removed, true));
        }
        let device = identity(&row.user_id, &row.device_id)?;
        let mut after = None;
        loop {
            steps += 1;
            match store.bounded(sweep(store, &device, now_ms, after)).await? {
                Swept::Next(last) => after = Some(last),
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
    Next(uuid::Uuid),
    /// The session is gone with the last of them.
    Gone,
    /// It was opened again meanwhile, or is gone already.
    Alive,
}

async fn sweep(
    store: &PostgresStore,
    device: &Identity,
    now_ms: i64,
    after: Option<uuid::Uuid>,
) -> Result<Swept, Error> {
    let (user, name) = (device.user.as_str(), device.device.as_str());
    let mut tx = store.begin().await?;
    let expired = sqlx::query_file_scalar!("queries/sessions/hold_expired.sql", user, name, now_ms)
        .fetch_optional(&mut *tx)
        .await
        .map_err(from_driver)?;
    if expired.is_none() {
        return Ok(Swept::Alive);
    }
    let limit = limits::SWEEP_CONVERSATIONS;
    let last = sqlx::query_file_scalar!("queries/cursors/sweep.sql", user, name, after, limit)
        .fetch_optional(&mut *tx)
        .await
        .map_err(from_driver)?;
    if last.is_none() {
        let (users, names) = names(std::iter::once(device));
        sqlx::query_file!("queries/sessions/forget.sql", &users as &[&str], &names as &[&str])
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
    }
    tx.commit().await.map_err(from_driver)?;
    Ok(last.map_or(Swept::Gone, Swept::Next))
}

impl PostgresStore {
    /// Notes at the start of the only serving process that nobody is connected: sessions that a
    /// crash left open begin to expire at `now_ms` (milliseconds since 1970). Returns how many.
    /// Not for a process beside others: their devices are connected.
    pub async fn mark_all_closed(&self, now_ms: u64) -> Result<u64, Error> {
        let now_ms = signed(now_ms);
        let closed = sqlx::query_file!("queries/sessions/close_all.sql", now_ms)
            .execute(&mut *self.pool.take().await?)
            .await
            .map_err(from_driver)?;
        Ok(closed.rows_affected())
    }
}
