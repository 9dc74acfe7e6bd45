//! How far users have got: their cursors, moved in two statements as sends are committed.
//!
//! The first reads where they stand, [`plan`] decides, the second moves them if all still stand
//! there. When one does not, or has no row yet, the same is done in a transaction that locks first:
//! stays, then rows, both in the order of their keys.

use std::collections::{BTreeSet, HashMap};

use godwit_core::ids::{ConversationId, UserId};
use godwit_core::receipt::{Cursors, Loaded, Plan, Receipt, Report, Verdict, plan};
use godwit_core::store::Error;
use godwit_core::stored::{self, ABOVE_HEAD, signed};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::from_driver;
use crate::{PostgresStore, column, hold};

/// See [`godwit_core::inbox::Inboxes::report`].
pub(crate) async fn report(
    store: &PostgresStore,
    reports: &[Report],
) -> Result<Vec<Verdict>, Error> {
    let keys = Keys::of(reports);
    if keys.users.is_empty() {
        return Ok(plan(reports, Loaded::default()).verdicts);
    }
    let mut connection = store.pool.take().await?;
    let loaded = keys.load(&mut connection).await?;
    let found = loaded.cursors.clone();
    let decided = plan(reports, loaded);
    if decided.moved.is_empty() || advance(&mut connection, &decided, &found).await? {
        return Ok(told(decided));
    }
    drop(connection);
    under_locks(store, reports, &keys).await
}

/// Some row was missing or moved: the same again, with all of them locked first.
async fn under_locks(
    store: &PostgresStore,
    reports: &[Report],
    keys: &Keys<'_>,
) -> Result<Vec<Verdict>, Error> {
    let mut tx = store.begin().await?;
    let held = hold::Keys { conversations: &keys.columns, users: &keys.users };
    hold::members(&mut tx, held).await?;
    // A commit moves its sender's cursor without holding the stay: without a row there would be
    // nothing to wait for, and what it has read would be taken back here. All rows are held after it.
    sqlx::query_file!("queries/inbox/make.sql", &keys.columns, &keys.users as &[&str])
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
    let loaded = keys.load(&mut tx).await?;
    let decided = plan(reports, loaded);
    let moves = Moves::of(&decided);
    sqlx::query_file!(
        "queries/inbox/put_cursors.sql",
        &moves.conversations,
        &moves.users as &[&str],
        &moves.delivered,
        &moves.read
    )
    .execute(&mut *tx)
    .await
    .map_err(from_driver)?;
    tx.commit().await.map_err(from_driver)?;
    Ok(told(decided))
}

/// The verdicts of a plan that stands.
fn told(plan: Plan) -> Vec<Verdict> {
    if plan.mended > 0 {
        tracing::warn!(cursors = plan.mended, "{ABOVE_HEAD}");
    }
    plan.verdicts
}

/// The conversations and users of reports, ordered, each pair once.
struct Keys<'a> {
    conversations: Vec<ConversationId>,
    columns: Vec<Uuid>,
    users: Vec<&'a str>,
    ids: Vec<&'a UserId>,
}

impl<'a> Keys<'a> {
    fn of(reports: &'a [Report]) -> Self {
        let keys: BTreeSet<(ConversationId, &UserId)> = reports
            .iter()
            .flat_map(|report| report.places.iter().map(|place| (place.conversation, &report.user)))
            .collect();
        Self {
            conversations: keys.iter().map(|(id, _)| *id).collect(),
            columns: keys.iter().map(|(id, _)| column(*id)).collect(),
            users: keys.iter().map(|(_, user)| user.as_str()).collect(),
            ids: keys.iter().map(|(_, user)| *user).collect(),
        }
    }

    async fn load(&self, connection: &mut PgConnection) -> Result<Loaded, Error> {
        let rows = sqlx::query_file!(
            "queries/inbox/load_cursors.sql",
            &self.columns,
            &self.users as &[&str]
        )
        .fetch_all(connection)
        .await
        .map_err(from_driver)?;
        let mut loaded = Loaded::default();
        for row in rows {
            // Ordinality counts from 1.
            let place = usize::try_from(row.place - 1).map_err(|_| stored::broken("place"))?;
            let (Some(id), Some(user)) = (self.conversations.get(place), self.ids.get(place))
            else {
                return Err(stored::broken("place"));
            };
            let key = (*id, (*user).clone());
            loaded.heads.insert(key.clone(), stored::seq(row.head_seq)?);
            if let (Some(delivered), Some(read)) = (row.delivered_seq, row.read_seq) {
                let cursors =
                    Cursors { delivered: stored::seq(delivered)?, read: stored::seq(read)? };
                loaded.cursors.insert(key, cursors);
            }
        }
        Ok(loaded)
    }
}

/// The moves of a plan as arrays, in the order of their keys.
struct Moves<'a> {
    conversations: Vec<Uuid>,
    users: Vec<&'a str>,
    delivered: Vec<i64>,
    read: Vec<i64>,
}

impl<'a> Moves<'a> {
    fn of(plan: &'a Plan) -> Self {
        Self {
            conversations: plan.moved.iter().map(|(id, ..)| column(*id)).collect(),
            users: plan.moved.iter().map(|(_, user, _)| user.as_str()).collect(),
            delivered: plan.moved.iter().map(|(.., at)| signed(at.delivered.0)).collect(),
            read: plan.moved.iter().map(|(.., at)| signed(at.read.0)).collect(),
        }
    }
}

/// Moves cursors from where they were found. `false`: one had no row or stands elsewhere, and
/// nothing was written.
async fn advance(
    connection: &mut PgConnection,
    decided: &Plan,
    found: &HashMap<(ConversationId, UserId), Cursors>,
) -> Result<bool, Error> {
    let standing: Option<Vec<&Cursors>> =
        decided.moved.iter().map(|(id, user, _)| found.get(&(*id, user.clone()))).collect();
    let Some(standing) = standing else { return Ok(false) };
    let moves = Moves::of(decided);
    let found_delivered: Vec<i64> = standing.iter().map(|at| signed(at.delivered.0)).collect();
    let found_read: Vec<i64> = standing.iter().map(|at| signed(at.read.0)).collect();
    // To the end of the answer: Postgres commits after the last row.
    let verdict = sqlx::query_file_scalar!(
        "queries/inbox/advance_cursors.sql",
        &moves.conversations,
        &moves.users as &[&str],
        &found_delivered,
        &found_read,
        &moves.delivered,
        &moves.read
    )
    .fetch_all(connection)
    .await
    .map_err(from_driver)?;
    Ok(verdict == [true])
}

/// See [`godwit_core::inbox::Inboxes::receipts`].
pub(crate) async fn of_conversation(
    store: &PostgresStore,
    conversation: ConversationId,
) -> Result<Vec<Receipt>, Error> {
    sqlx::query_file!("queries/inbox/receipts.sql", column(conversation))
        .fetch_all(&mut *store.readers.take().await?)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|row| {
            let (delivered, read) = (stored::seq(row.delivered_seq)?, stored::seq(row.read_seq)?);
            Ok(Receipt { user: stored::user(&row.user_id)?, cursors: Cursors { delivered, read } })
        })
        .collect()
}
