//! How far users have got: their cursors, moved in one transaction for many reports.

use godwit_core::ids::{ConversationId, UserId};
use godwit_core::receipt::{Cursors, Loaded, Receipt, Report, Verdict, plan};
use godwit_core::store::Error;
use godwit_core::stored::{self, ABOVE_HEAD};
use sqlx::SqliteConnection;

use crate::SqliteStore;
use crate::error::from_driver;
use crate::pack::Pack;

/// See [`godwit_core::inbox::Inboxes::report`].
pub(crate) async fn report(store: &SqliteStore, reports: &[Report]) -> Result<Vec<Verdict>, Error> {
    let mut tx = store.begin().await?;
    let loaded = load(&mut tx, reports).await?;
    let plan = plan(reports, loaded);
    if !plan.moved.is_empty() {
        let mut pack = Pack::new();
        for (conversation, user, cursors) in &plan.moved {
            pack.cursors(*conversation, user, *cursors);
        }
        let (rows, blob) = pack.finish();
        sqlx::query_file!("queries/inbox/put_cursors.sql", rows, blob)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
        tx.commit().await?;
    }
    if plan.mended > 0 {
        tracing::warn!(cursors = plan.mended, "{ABOVE_HEAD}");
    }
    Ok(plan.verdicts)
}

/// Reads heads and cursors, once for each conversation and user.
async fn load(connection: &mut SqliteConnection, reports: &[Report]) -> Result<Loaded, Error> {
    let mut keys: Vec<(ConversationId, &UserId)> = reports
        .iter()
        .flat_map(|report| report.places.iter().map(|place| (place.conversation, &report.user)))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let mut pack = Pack::new();
    for (conversation, user) in &keys {
        pack.member(*conversation, user);
    }
    let (rows, blob) = pack.finish();
    let rows = sqlx::query_file!("queries/inbox/load_cursors.sql", rows, blob)
        .fetch_all(connection)
        .await
        .map_err(from_driver)?;
    let mut loaded = Loaded::default();
    for row in rows {
        let place = usize::try_from(row.place).map_err(|_| stored::broken("place"))?;
        let Some(&(id, user)) = keys.get(place) else { return Err(stored::broken("place")) };
        let cursors = cursors(row.delivered_seq, row.read_seq)?;
        loaded.heads.insert((id, user.clone()), stored::seq(row.head_seq)?);
        loaded.cursors.insert((id, user.clone()), cursors);
    }
    Ok(loaded)
}

fn cursors(delivered: i64, read: i64) -> Result<Cursors, Error> {
    Ok(Cursors { delivered: stored::seq(delivered)?, read: stored::seq(read)? })
}

/// See [`godwit_core::inbox::Inboxes::receipts`].
pub(crate) async fn of(
    store: &SqliteStore,
    conversation: ConversationId,
) -> Result<Vec<Receipt>, Error> {
    let id = &conversation.as_bytes()[..];
    sqlx::query_file!("queries/inbox/receipts.sql", id)
        .fetch_all(&mut *store.reader().await?)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|row| {
            Ok(Receipt {
                user: stored::user(&row.user_id)?,
                cursors: cursors(row.delivered_seq, row.read_seq)?,
            })
        })
        .collect()
}
