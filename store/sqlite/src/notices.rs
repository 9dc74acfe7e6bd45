//! What users' devices are told beside their conversations.

use std::collections::HashSet;

use godwit_core::cursor::{Feed, Move};
use godwit_core::ids::{Identity, Seq, UserId};
use godwit_core::limits::NOTICES_MAX;
use godwit_core::notice::{Notice, Telling};
use godwit_core::store::Error;
use godwit_core::stored::{NoticeColumns, signed};
use sqlx::{SqliteConnection, SqliteExecutor};

use crate::error::from_driver;
use crate::{SqliteStore, pack};

/// See [`godwit_core::store::Store::tell`].
pub(crate) async fn tell(store: &SqliteStore, tellings: &[Telling]) -> Result<(), Error> {
    // Mostly nobody has to find it later: then nothing is written.
    if listening(&mut *store.reader().await?, tellings).await?.is_empty() {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    put(&mut tx, tellings).await?;
    tx.commit().await
}

/// The users of whom a kept session listens.
async fn listening(
    executor: impl SqliteExecutor<'_>,
    tellings: &[Telling],
) -> Result<HashSet<String>, Error> {
    if tellings.is_empty() {
        return Ok(HashSet::new());
    }
    let users: Vec<UserId> = tellings.iter().map(|telling| telling.user.clone()).collect();
    let users = pack::users(&users);
    let found = sqlx::query_file_scalar!("queries/notices/listening.sql", users)
        .fetch_all(executor)
        .await
        .map_err(from_driver)?;
    Ok(found.into_iter().collect())
}

/// Writes notices for users of whom a kept session listens.
pub(crate) async fn put(
    connection: &mut SqliteConnection,
    tellings: &[Telling],
) -> Result<(), Error> {
    let listening = listening(&mut *connection, tellings).await?;
    let heard = tellings.iter().filter(|telling| listening.contains(telling.user.as_str()));
    for telling in heard {
        let (user, feed) = (telling.user.as_str(), telling.what.feed().code());
        let device = telling.device.as_ref().map(godwit_core::ids::DeviceId::as_str);
        let seq = sqlx::query_file_scalar!("queries/notices/raise.sql", user, feed, device)
            .fetch_optional(&mut *connection)
            .await
            .map_err(from_driver)?;
        let Some(seq) = seq else { continue };
        let (subject, body) = (telling.what.subject(), telling.what.to_body());
        let time_ms = signed(telling.time_ms);
        sqlx::query_file!(
            "queries/notices/put.sql",
            user,
            feed,
            subject,
            seq,
            device,
            time_ms,
            body
        )
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
        let last = seq.saturating_sub(NOTICES_MAX);
        sqlx::query_file!("queries/notices/trim.sql", user, feed, last)
            .execute(&mut *connection)
            .await
            .map_err(from_driver)?;
    }
    Ok(())
}

/// See [`godwit_core::store::Store::notices`].
pub(crate) async fn read(
    store: &SqliteStore,
    device: &Identity,
    feed: Feed,
    after: Option<Seq>,
    limit: u32,
) -> Result<Option<Vec<Notice>>, Error> {
    let (user, name, feed) = (device.user.as_str(), device.device.as_str(), feed.code());
    let cursor = sqlx::query_file_scalar!("queries/notices/cursor.sql", user, name, feed)
        .fetch_optional(&mut *store.reader().await?)
        .await
        .map_err(from_driver)?;
    let Some(cursor) = cursor else { return Ok(None) };
    let after = after.map_or(cursor, |seq| signed(seq.0).max(cursor));
    sqlx::query_file_as!(NoticeColumns, "queries/notices/page.sql", user, feed, after, limit)
        .fetch_all(&mut *store.reader().await?)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(NoticeColumns::notice)
        .collect::<Result<_, _>>()
        .map(Some)
}

/// Begins a feed of a kept session at its head, unless it has begun.
pub(crate) async fn start(
    connection: &mut SqliteConnection,
    device: &Identity,
    feed: Feed,
) -> Result<(), Error> {
    let (user, name, feed) = (device.user.as_str(), device.device.as_str(), feed.code());
    sqlx::query_file!("queries/notices/start.sql", user, name, feed)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

/// Ends it.
pub(crate) async fn stop(
    connection: &mut SqliteConnection,
    device: &Identity,
    feed: Feed,
) -> Result<(), Error> {
    let (user, name, feed) = (device.user.as_str(), device.device.as_str(), feed.code());
    sqlx::query_file!("queries/notices/stop.sql", user, name, feed)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

/// Moves cursors forward, those of feeds that are no log.
pub(crate) async fn advance(
    connection: &mut SqliteConnection,
    moves: &[&Move],
) -> Result<(), Error> {
    for Move { device, mark } in moves {
        let (user, name) = (device.user.as_str(), device.device.as_str());
        let (feed, seq) = (mark.feed.code(), signed(mark.seq.0));
        sqlx::query_file!("queries/notices/advance.sql", user, name, feed, seq)
            .execute(&mut *connection)
            .await
            .map_err(from_driver)?;
    }
    Ok(())
}

/// Removes notices up to a time, at most `rows_max`.
pub(crate) async fn prune(
    connection: &mut SqliteConnection,
    until_ms: u64,
    rows_max: u32,
) -> Result<(), Error> {
    let until_ms = signed(until_ms);
    sqlx::query_file!("queries/notices/prune.sql", until_ms, rows_max)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}
