//! What is stored beside the log, compared with it and mended.
//!
//! Each comparison is one statement and so sees one moment: a check takes no lock. Only what differs
//! is looked at again, with its heads locked, and mended in the same transaction; senders wait for
//! that alone.

use godwit_core::ids::ConversationId;
use godwit_core::inbox::{Checked, Difference};
use godwit_core::store::Error;
use godwit_core::stored;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::commit::lock;
use crate::error::from_driver;
use crate::limits::{CHECK, DIFFERENCES_MAX};
use crate::{PostgresStore, column};

/// See [`godwit_core::inbox::Inboxes::check_inboxes`]. Longer logs take longer than other
/// operations may: at most [`CHECK`].
pub(crate) async fn check(
    store: &PostgresStore,
    after: Option<ConversationId>,
    limit: u32,
    repair: bool,
) -> Result<Checked, Error> {
    let checking = async {
        let mut tx = store.begin().await?;
        let timeout_ms = CHECK.as_millis().to_string();
        sqlx::query_file!("queries/migrations/patience.sql", timeout_ms)
            .fetch_one(&mut *tx)
            .await
            .map_err(from_driver)?;
        let checked = page(&mut tx, after, limit, repair).await?;
        tx.commit().await.map_err(from_driver)?;
        Ok(checked)
    };
    match tokio::time::timeout(CHECK, checking).await {
        Ok(result) => result,
        Err(elapsed) => Err(Error::Unavailable(Box::new(elapsed))),
    }
}

async fn page(
    connection: &mut PgConnection,
    after: Option<ConversationId>,
    limit: u32,
    repair: bool,
) -> Result<Checked, Error> {
    let ids = sqlx::query_file_scalar!(
        "queries/conversations/page.sql",
        after.map(column),
        i64::from(limit)
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(from_driver)?;
    let mut differences = look(connection, &ids).await?;
    if repair && !differences.is_empty() {
        let mut wrong: Vec<ConversationId> =
            differences.iter().map(|difference| difference.conversation).collect();
        // They come in their order, kind by kind.
        wrong.sort();
        wrong.dedup();
        lock(connection, wrong.iter().copied()).await?;
        let wrong: Vec<Uuid> = wrong.into_iter().map(column).collect();
        differences = look(connection, &wrong).await?;
        mend(connection, &wrong).await?;
    }
    let full = u32::try_from(ids.len()).is_ok_and(|count| count == limit);
    let last = ids.last().map(|id| ConversationId(id.into_bytes()));
    Ok(Checked { conversations: ids.len() as u64, differences, next: last.filter(|_| full) })
}

/// Compares; of each kind of difference, at most [`DIFFERENCES_MAX`].
async fn look(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Difference>, Error> {
    let mut found = Vec::new();
    let mut tell = |id: Uuid, user: Option<&str>, field, stored: String, computed: String| {
        let user = user.map(stored::user).transpose()?;
        let conversation = ConversationId(id.into_bytes());
        found.push(Difference { conversation, user, field, stored, computed });
        Ok::<(), Error>(())
    };
    let heads = sqlx::query_file!("queries/conversations/check.sql", ids)
        .fetch_all(&mut *connection)
        .await
        .map_err(from_driver)?;
    for row in heads {
        for (field, stored, computed) in [
            ("number", row.number, row.counted),
            ("active_seq", row.active_seq, row.last_seq),
            ("active_ms", row.active_ms, row.last_ms),
        ] {
            if stored != computed {
                tell(row.id, None, field, stored.to_string(), computed.to_string())?;
            }
        }
    }
    let numbers = sqlx::query_file!("queries/messages/check_numbers.sql", ids, DIFFERENCES_MAX)
        .fetch_all(&mut *connection)
        .await
        .map_err(from_driver)?;
    for row in numbers {
        let (stored, computed) = (row.number.to_string(), row.counted.to_string());
        tell(row.conversation_id, None, "number", stored, computed)?;
    }
    let mentions = sqlx::query_file!("queries/mentions/check.sql", ids, DIFFERENCES_MAX)
        .fetch_all(&mut *connection)
        .await
        .map_err(from_driver)?;
    for row in mentions {
        let (at, none) = (format!("at entry {}", row.seq), "none".to_owned());
        let (stored, computed) = if row.is_due { (none, at) } else { (at, none) };
        tell(row.conversation_id, Some(&row.user_id), "mentions", stored, computed)?;
    }
    let cursors = sqlx::query_file!("queries/inbox/check.sql", ids, DIFFERENCES_MAX)
        .fetch_all(connection)
        .await
        .map_err(from_driver)?;
    for row in cursors {
        for (field, at) in [("delivered_seq", row.delivered_seq), ("read_seq", row.read_seq)] {
            if at > row.head_seq {
                let (stored, computed) = (at.to_string(), row.head_seq.to_string());
                tell(row.conversation_id, Some(&row.user_id), field, stored, computed)?;
            }
        }
    }
    Ok(found)
}

/// Mends all that differs in these conversations, also what was too much to tell. Their heads are
/// locked.
async fn mend(connection: &mut PgConnection, ids: &[Uuid]) -> Result<(), Error> {
    sqlx::query_file!("queries/conversations/mend.sql", ids)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/messages/mend_numbers.sql", ids)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/mentions/mend_lacking.sql", ids)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/mentions/mend_extra.sql", ids)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/inbox/mend.sql", ids)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}
