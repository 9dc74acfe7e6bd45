//! Stage 4: a batch of sends in two statements.
//!
//! The first reads what the batch touches, [`plan`] decides, the second writes the plan if every
//! head still stands where the first found it. Everything that happens to a conversation moves its
//! head or raises its group version, so a standing head means that members, targets and earlier
//! keys stand, too: the two statements are one transaction without BEGIN, locks held between, or
//! COMMIT, which saves two round trips and the record of the locks. When another process was
//! faster, the same two statements run again in a transaction that locks the heads first. And when
//! this process wrote the conversation last, it remembers what the first statement would read
//! (`recent`), and the second one is enough.
//!
//! Sends about a message need one more statement to read it, deletions a transaction that erases.

use std::collections::HashMap;

use godwit_core::commit::{Committed, Fate, Loaded, Plan, Send as SendRequest, Stood, plan};
use godwit_core::ids::ConversationId;
use godwit_core::policy::Policy;
use godwit_core::store::Error;
use godwit_core::stored;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::error::from_driver;
use crate::recent::{Recent, Standings};
use crate::{PostgresStore, column};

mod load;
mod write;

pub(crate) use write::{Found, Moved, append};

/// See [`godwit_core::store::Store::commit`].
pub(crate) async fn commit(
    store: &PostgresStore,
    batch: &[SendRequest],
    policy: &Policy,
) -> Result<Committed, Error> {
    let mut writer = store.writers.take().await?;
    let written = match from_memory(&store.recent, &mut writer.connection, batch, policy).await? {
        Some(written) => written,
        None => match attempt(&mut writer.connection, batch, policy).await? {
            Some(written) => written,
            None => under_locks(&mut writer.connection, batch, policy).await?,
        },
    };
    store.recent.note(&written.heads, written.standings);
    writer.rest();
    Ok(written.plan.committed(&written.before))
}

/// A plan that is durable.
struct Written {
    plan: Plan,
    heads: Vec<Moved>,
    /// Where the cursors of those stood who have read by sending.
    before: Vec<Stood>,
    /// What the store said of the senders; empty when it was not asked.
    standings: Standings,
}

/// Decides by what this process remembers and writes at once: one statement instead of two. `None`:
/// the store must be asked, nothing was written.
async fn from_memory(
    recent: &Recent,
    connection: &mut PgConnection,
    batch: &[SendRequest],
    policy: &Policy,
) -> Result<Option<Written>, Error> {
    let Some(loaded) = recent.load(batch) else { return Ok(None) };
    let found = found(&loaded);
    let plan = plan(batch, loaded, policy);
    // A refusal is the store's to give: what is remembered may be old.
    if plan.fates.iter().any(|fate| !matches!(fate, Fate::Accepted { .. })) {
        return Ok(None);
    }
    let heads = write::moved(&plan, &found);
    match write::plan(connection, &plan, &heads).await {
        Ok(Some(before)) => {
            return Ok(Some(Written { plan, heads, before, standings: Standings::new() }));
        }
        Ok(None) => {}
        // A key was committed before: the whole statement was undone.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {}
        Err(error) => {
            recent.forget(batch);
            return Err(from_driver(error));
        }
    }
    recent.forget(batch);
    Ok(None)
}

/// Another process was faster: the same again, with the heads locked first.
async fn under_locks(
    connection: &mut PgConnection,
    batch: &[SendRequest],
    policy: &Policy,
) -> Result<Written, Error> {
    let mut tx = connection.begin().await.map_err(from_driver)?;
    lock(&mut tx, batch.iter().map(|send| send.conversation)).await?;
    let written = attempt(&mut tx, batch, policy).await?;
    let written = written.ok_or_else(|| stored::broken("head (it moved under its lock)"))?;
    tx.commit().await.map_err(from_driver)?;
    Ok(written)
}

/// Where the heads stand that a plan is made of.
fn found(loaded: &Loaded) -> HashMap<ConversationId, Found> {
    loaded.heads.iter().map(|(id, head)| (*id, Found::of(head))).collect()
}

/// Locks heads until the end of the transaction.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    conversations: impl Iterator<Item = ConversationId>,
) -> Result<(), Error> {
    let ids: Vec<Uuid> = conversations.map(column).collect();
    sqlx::query_file!("queries/conversations/lock.sql", &ids)
        .fetch_all(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

/// Reads, decides, writes. `None`: a head moved in between and nothing was written.
async fn attempt(
    connection: &mut PgConnection,
    batch: &[SendRequest],
    policy: &Policy,
) -> Result<Option<Written>, Error> {
    let loaded = load::load(connection, batch).await?;
    let (standings, found) = (loaded.members.clone(), found(&loaded));
    let plan = plan(batch, loaded, policy);
    let heads = write::moved(&plan, &found);
    let mut before = Vec::new();
    if !plan.entries.is_empty() {
        match write::plan(connection, &plan, &heads).await.map_err(from_driver)? {
            Some(stood) => before = stood,
            None => return Ok(None),
        }
    }
    Ok(Some(Written { plan, heads, before, standings }))
}
