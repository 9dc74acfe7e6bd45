//! Where devices stand in the logs.

use godwit_core::cursor::{Behind, Feed, Move};
use godwit_core::ids::{ConversationId, Identity};
use godwit_core::store::Error;
use godwit_core::stored::{self, ABOVE_HEAD};

use crate::error::from_driver;
use crate::pack::Pack;
use crate::{SqliteStore, limits, notices};

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
    let mut mended = false;
    loop {
        let rows =
            sqlx::query_file!("queries/cursors/behind.sql", user, device, feed, after, limit)
                .fetch_all(&mut *store.reader().await?)
                .await
                .map_err(from_driver)?;
        if !mended && rows.iter().any(|row| row.delivered_seq > row.head_seq) {
            let mut tx = store.begin().await?;
            let cursors = sqlx::query_file!("queries/cursors/mend.sql", user, device)
                .execute(&mut *tx)
                .await
                .map_err(from_driver)?
                .rows_affected();
            tx.commit().await?;
            tracing::warn!(user.id = user, device.id = device, cursors, "{ABOVE_HEAD}");
            mended = true;
            continue;
        }
        // What was cut a second time is mended by the next look.
        let rows = rows.into_iter().filter(|row| row.delivered_seq <= row.head_seq);
        return rows
            .map(|row| {
                Ok(Behind {
                    conversation: stored::conversation_id(&row.conversation_id)?,
                    delivered_seq: stored::seq(row.delivered_seq)?,
                    head_seq: stored::seq(row.head_seq)?,
                })
            })
            .collect();
    }
}

impl SqliteStore {
    /// Takes every cursor, of devices and of users, that stands above the end of its log back to it;
    /// returns how many. After an
    /// older copy was put in place, new entries would come below such a cursor and never be delivered.
    /// For the start; it looks at all conversations, by pages.
    pub async fn mend_cursors(&self) -> Result<u64, Error> {
        // Every id is above the empty blob.
        let (mut after, mut cursors) = (Vec::new(), 0);
        loop {
            let mut tx = self.begin().await?;
            let limit = limits::MEND_CONVERSATIONS;
            let end = sqlx::query_file_scalar!("queries/conversations/page_end.sql", after, limit)
                .fetch_optional(&mut *tx)
                .await
                .map_err(from_driver)?;
            cursors += sqlx::query_file!("queries/cursors/mend_all.sql", after, end)
                .execute(&mut *tx)
                .await
                .map_err(from_driver)?
                .rows_affected();
            cursors += sqlx::query_file!("queries/inbox/mend_all.sql", after, end)
                .execute(&mut *tx)
                .await
                .map_err(from_driver)?
                .rows_affected();
            tx.commit().await?;
            let Some(end) = end else { break };
            after = end;
        }
        if cursors > 0 {
            tracing::warn!(cursors, "{ABOVE_HEAD}");
        }
        Ok(cursors)
    }
}

/// See [`godwit_core::store::Store::move_cursors`].
pub(crate) async fn advance(store: &SqliteStore, moves: &[Move]) -> Result<(), Error> {
    let (logs, others): (Vec<&Move>, Vec<&Move>) =
        moves.iter().partition(|cursor| cursor.mark.feed.is_log());
    if !others.is_empty() {
        let mut tx = store.begin().await?;
        notices::advance(&mut tx, &others).await?;
        tx.commit().await?;
    }
    if logs.is_empty() {
        return Ok(());
    }
    let mut pack = Pack::new();
    for cursor in logs {
        pack.mark(cursor);
    }
    let (rows, blob) = pack.finish();
    let mut tx = store.begin_behind().await?;
    sqlx::query_file!("queries/cursors/advance.sql", rows, blob)
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
    tx.commit().await
}
