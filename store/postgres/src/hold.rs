//! Locks on several rows, taken in the order of their keys, so that two batches cannot wait for each
//! other in turn.

use godwit_core::store::Error;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::from_driver;

/// Pairs of a conversation and a user as two arrays, ordered, each pair once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys<'a> {
    pub(crate) conversations: &'a [Uuid],
    pub(crate) users: &'a [&'a str],
}

/// Holds the stays of present members until the end of the transaction, for who is about to change
/// them, or to make or remove what goes with them. Returns how many there are.
pub(crate) async fn members(connection: &mut PgConnection, keys: Keys<'_>) -> Result<i64, Error> {
    let Keys { conversations, users } = keys;
    sqlx::query_file_scalar!("queries/members/hold.sql", conversations, users as &[&str])
        .fetch_one(connection)
        .await
        .map_err(from_driver)
}

/// Holds the rows of inboxes that are there until the end of the transaction; after [`members`].
pub(crate) async fn inboxes(connection: &mut PgConnection, keys: Keys<'_>) -> Result<i64, Error> {
    let Keys { conversations, users } = keys;
    sqlx::query_file_scalar!("queries/inbox/hold.sql", conversations, users as &[&str])
        .fetch_one(connection)
        .await
        .map_err(from_driver)
}
