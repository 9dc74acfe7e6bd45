//! Numbers of what moves a conversation in inboxes, in the order of commits: those of the outbox.

use godwit_core::store::Error;
use sqlx::SqliteConnection;

use crate::error::from_driver;

/// The number of a move that is no entry of a log. `None`: there was no entry yet, so no walk either that
/// could have seen something else.
pub(crate) async fn number(connection: &mut SqliteConnection) -> Result<Option<i64>, Error> {
    sqlx::query_file_scalar!("queries/outbox/skip.sql")
        .fetch_optional(connection)
        .await
        .map_err(from_driver)
}
