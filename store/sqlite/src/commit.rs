//! Stage 4: one transaction for a batch of sends.

use godwit_core::commit::{Committed, Head, Loaded, Send as SendRequest, plan};
use godwit_core::entry::Entry;
use godwit_core::ids::ConversationId;
use godwit_core::store::Error;
use godwit_core::stored;
use sqlx::SqliteConnection;

use crate::SqliteStore;
use crate::error::from_driver;
use crate::pack::Pack;

/// See [`godwit_core::store::Store::commit`].
pub(crate) async fn commit(store: &SqliteStore, batch: &[SendRequest]) -> Result<Committed, Error> {
    let mut tx = store.begin().await?;
    let loaded = load(&mut tx, batch).await?;
    let plan = plan(batch, loaded);
    if !plan.entries.is_empty() {
        append(&mut tx, &plan.entries, &plan.heads).await?;
        tx.commit().await.map_err(from_driver)?;
    }
    Ok(plan.committed())
}

/// Reads what the batch touches.
async fn load(connection: &mut SqliteConnection, batch: &[SendRequest]) -> Result<Loaded, Error> {
    let keys: Vec<String> = batch.iter().map(|send| send.key.to_stored()).collect();
    let mut pack = Pack::new();
    for (send, key) in batch.iter().zip(&keys) {
        pack.send(send.conversation, &send.from, key);
    }
    let (rows, blob) = pack.finish();
    let rows = sqlx::query_file!("queries/conversations/load.sql", rows, blob)
        .fetch_all(connection)
        .await
        .map_err(from_driver)?;
    let mut loaded = Loaded::default();
    for row in rows {
        let place = usize::try_from(row.place).map_err(|_| stored::broken("place"))?;
        let (Some(send), Some(key)) = (batch.get(place), keys.get(place)) else {
            return Err(stored::broken("place"));
        };
        let id = send.conversation;
        if let (Some(seq), Some(chain), Some(version)) =
            (row.head_seq, row.head_chain, row.group_version)
        {
            let head = Head {
                seq: stored::seq(seq)?,
                chain: stored::chain(&chain)?,
                group_version: stored::unsigned("group version", version)?,
            };
            loaded.heads.insert(id, head);
        }
        if row.is_member {
            loaded.members.insert((id, send.from.user.clone()));
        }
        if let (Some(message_id), Some(seq)) = (row.message_id, row.seq) {
            let first = (stored::message_id(&message_id)?, stored::seq(seq)?);
            loaded.earlier.insert((id, send.from.clone(), key.clone()), first);
        }
    }
    Ok(loaded)
}

/// Writes entries, their events, and the heads after them.
pub(crate) async fn append(
    connection: &mut SqliteConnection,
    entries: &[(Entry, String)],
    heads: &[(ConversationId, Head)],
) -> Result<(), Error> {
    let mut pack = Pack::new();
    for (entry, key) in entries {
        pack.entry(entry, key);
    }
    let (rows, blob) = pack.finish();
    sqlx::query_file!("queries/messages/append.sql", rows, blob)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/outbox/append.sql", rows, blob)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    let mut pack = Pack::new();
    for (conversation, head) in heads {
        pack.head(*conversation, head);
    }
    let (rows, blob) = pack.finish();
    sqlx::query_file!("queries/conversations/advance.sql", rows, blob)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}
