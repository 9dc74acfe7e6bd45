//! Whom users ask into conversations without being known to them.

use std::collections::BTreeSet;

use godwit_core::ids::UserId;
use godwit_core::policy::{INVITED_MS, Invited, Strangers};
use godwit_core::store::Error;
use godwit_core::stored::{self, signed};
use sqlx::SqliteConnection;

use crate::error::from_driver;
use crate::{SqliteStore, pack};

/// See [`godwit_core::store::Store::invite`].
pub(crate) async fn invite(
    store: &SqliteStore,
    user: &UserId,
    others: &[UserId],
    strangers: &Strangers,
    time_ms: u64,
) -> Result<Invited, Error> {
    let mut tx = store.begin().await?;
    let (name, since_ms) = (user.as_str(), signed(time_ms.saturating_sub(INVITED_MS)));
    let recent = sqlx::query_file_scalar!("queries/invitations/recent.sql", name, since_ms)
        .fetch_all(&mut *tx)
        .await
        .map_err(from_driver)?;
    let recent = recent.iter().map(|name| stored::user(name)).collect::<Result<Vec<_>, _>>()?;
    let all: Vec<UserId> = recent.iter().chain(others).cloned().collect();
    let unknown = unknown(&mut tx, user, &all).await?;
    let invited = strangers.judge(others, &unknown);
    if let Invited::Yes(new) = &invited
        && !new.is_empty()
    {
        let (new, time_ms) = (pack::users(new), signed(time_ms));
        sqlx::query_file!("queries/invitations/put.sql", name, new, time_ms, since_ms)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
        tx.commit().await?;
    }
    Ok(invited)
}

/// Who of them does not know the user.
async fn unknown(
    connection: &mut SqliteConnection,
    user: &UserId,
    among: &[UserId],
) -> Result<BTreeSet<UserId>, Error> {
    let (name, among) = (user.as_str(), pack::users(among));
    sqlx::query_file_scalar!("queries/invitations/strangers.sql", name, among)
        .fetch_all(connection)
        .await
        .map_err(from_driver)?
        .iter()
        .map(|name| stored::user(name))
        .collect()
}

/// Forgets what was asked up to a time, at most `rows_max`.
pub(crate) async fn prune(
    connection: &mut SqliteConnection,
    until_ms: u64,
    rows_max: u32,
) -> Result<(), Error> {
    let until_ms = signed(until_ms);
    sqlx::query_file!("queries/invitations/prune.sql", until_ms, rows_max)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}
