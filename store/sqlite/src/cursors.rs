//! Where devices stand in the logs.

use godwit_core::cursor::{Behind, Feed, Move};
use godwit_core::ids::{ConversationId, Identity};
use godwit_core::store::Error;
use godwit_core::stored;

use crate::SqliteStore;
use crate::error::from_driver;
use crate::pack::Pack;

/// See [`godwit_core::store::Store::behind`].
pub(crate) async fn behind(
    store: &SqliteStore,
    device: &Identity,
    feed: Feed,
    after: Option<ConversationId>,
    limit: u32,
) -> Result<Vec<Behind>, Error> {
    let (user, device, feed) = (device.user.as_str(), device.device.as_str(), feed.code());
    // Every id is above the empty blob.
    let after = after.map(|id| id.0.to_vec()).unwrap_or_default();
    sqlx::query_file!("queries/cursors/behind.sql", user, device, feed, after, limit)
        .fetch_all(&store.readers)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|row| {
            Ok(Behind {
                conversation: stored::conversation_id(&row.conversation_id)?,
                delivered_seq: stored::seq(row.delivered_seq)?,
                head_seq: stored::seq(row.head_seq)?,
            })
        })
        .collect()
}

/// See [`godwit_core::store::Store::move_cursors`].
pub(crate) async fn advance(store: &SqliteStore, moves: &[Move]) -> Result<(), Error> {
    let mut pack = Pack::new();
    for cursor in moves {
        pack.mark(cursor);
    }
    let (rows, blob) = pack.finish();
    // One statement is one transaction.
    sqlx::query_file!("queries/cursors/advance.sql", rows, blob)
        .execute(&store.writer)
        .await
        .map_err(from_driver)?;
    Ok(())
}
