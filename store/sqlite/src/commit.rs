//! Stage 4: one transaction for a batch of sends.

use godwit_core::commit::{
    Committed, Earlier, Fingerprint, Head, Loaded, ReadTo, Send as SendRequest, Standing, Stood,
    StoredKey, Target, plan,
};
use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, Seq, UserId};
use godwit_core::limits::REPEATS_COUNTED;
use godwit_core::policy::Policy;
use godwit_core::receipt::Cursors;
use godwit_core::store::Error;
use godwit_core::stored;
use sqlx::SqliteConnection;

use crate::SqliteStore;
use crate::error::from_driver;
use crate::pack::Pack;

/// See [`godwit_core::store::Store::commit`].
pub(crate) async fn commit(
    store: &SqliteStore,
    batch: &[SendRequest],
    policy: &Policy,
) -> Result<Committed, Error> {
    let mut tx = store.begin_first().await?;
    let mut loaded = load(&mut tx, batch).await?;
    load_targets(&mut tx, batch, &mut loaded).await?;
    let plan = plan(batch, loaded, policy);
    let mut before = Vec::new();
    if !plan.entries.is_empty() {
        append(&mut tx, &plan.entries, &plan.heads).await?;
        mention(&mut tx, &plan.entries).await?;
        rename(&mut tx, &plan.renamed).await?;
        erase(&mut tx, &plan.erase).await?;
        before = read(&mut tx, &plan.read).await?;
        tx.commit().await?;
    }
    Ok(plan.committed(&before))
}

/// Reads heads, standings and earlier results.
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
        if let (Some(seq), Some(chain), Some(version), Some(number), Some(kind)) =
            (row.head_seq, row.head_chain, row.group_version, row.number, row.kind)
        {
            let active_seq = stored::seq(row.active_seq.unwrap_or_default())?;
            let active_ms = stored::unsigned("activity", row.active_ms.unwrap_or_default())?;
            let head = Head {
                seq: stored::seq(seq)?,
                chain: stored::chain(&chain)?,
                group_version: stored::unsigned("group version", version)?,
                number: stored::unsigned("number", number)?,
                active: (active_seq, active_ms),
                kind: stored::conversation_kind(kind)?,
                expiry_s: stored::expiry_s(row.expiry_s)?,
            };
            loaded.heads.insert(id, head);
        }
        if let (Some(role), Some(visible), Some(blocked)) = (row.role, row.visible_seq, row.blocked)
        {
            let (role, visible_seq) = (stored::role(role)?, stored::seq(visible)?);
            let standing = Standing { role, visible_seq, blocked };
            loaded.members.insert((id, send.from.user.clone()), standing);
        }
        if let (Some(message_id), Some(seq)) = (row.message_id, row.seq) {
            let (message_id, seq) = (stored::message_id(&message_id)?, stored::seq(seq)?);
            let fingerprint = row.fingerprint.map(Fingerprint);
            let first = Earlier { message_id, seq, fingerprint };
            loaded.earlier.insert((id, send.from.clone(), key.clone()), first);
        }
    }
    Ok(loaded)
}

/// Reads what sends are about. A batch of plain messages asks for nothing.
async fn load_targets(
    connection: &mut SqliteConnection,
    batch: &[SendRequest],
    loaded: &mut Loaded,
) -> Result<(), Error> {
    let mut pack = Pack::new();
    for (place, send) in batch.iter().enumerate() {
        if let Some(target) = send.act.target() {
            let made = (&send.from.user, send.act.counted_since(send.time_ms));
            pack.target(place, send.conversation, target, send.act.kind(), made);
        }
    }
    if pack.is_empty() {
        return Ok(());
    }
    let (rows, blob) = pack.finish();
    let rows = sqlx::query_file!("queries/messages/targets.sql", rows, blob, REPEATS_COUNTED)
        .fetch_all(connection)
        .await
        .map_err(from_driver)?;
    for row in rows {
        let place = usize::try_from(row.place).map_err(|_| stored::broken("place"))?;
        let target = Target {
            kind: stored::entry_kind(row.kind)?,
            sender: stored::user(&row.sender)?,
            time_ms: stored::unsigned("time", row.time_ms)?,
            expires_ms: row.expires_ms.map(|at| stored::unsigned("expiry", at)).transpose()?,
            gone: row.body_gone,
            repeats: u32::try_from(row.repeats).map_err(|_| stored::broken("count"))?,
            emptied: u32::try_from(row.emptied).map_err(|_| stored::broken("count"))?,
            named: row.named,
        };
        loaded.targets.insert(place, target);
    }
    Ok(())
}

/// Writes entries, their events, and the heads after them.
pub(crate) async fn append(
    connection: &mut SqliteConnection,
    entries: &[(Entry, StoredKey)],
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

/// Notes whom the new messages name. Naming oneself is nothing to be told of.
async fn mention(
    connection: &mut SqliteConnection,
    entries: &[(Entry, StoredKey)],
) -> Result<(), Error> {
    let mut pack = Pack::new();
    // Those of an edit are its message's: see `rename`.
    for (entry, _) in entries.iter().filter(|(entry, _)| entry.target.is_none()) {
        for user in entry.mentions.iter().filter(|user| **user != entry.sender) {
            pack.mention(entry.conversation, user, entry.seq);
        }
    }
    if pack.is_empty() {
        return Ok(());
    }
    let (rows, blob) = pack.finish();
    sqlx::query_file!("queries/mentions/append.sql", rows, blob)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

/// Notes whom edited messages name now, in place of whom they named.
async fn rename(
    connection: &mut SqliteConnection,
    renamed: &[(ConversationId, Seq, Vec<UserId>)],
) -> Result<(), Error> {
    if renamed.is_empty() {
        return Ok(());
    }
    let (mut before, mut now) = (Pack::new(), Pack::new());
    for (conversation, seq, users) in renamed {
        before.message(*conversation, *seq);
        users.iter().for_each(|user| now.mention(*conversation, user, *seq));
    }
    let (rows, blob) = before.finish();
    sqlx::query_file!("queries/mentions/erase.sql", rows, blob)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    let (rows, blob) = now.finish();
    sqlx::query_file!("queries/mentions/append.sql", rows, blob)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

/// Moves the cursors of those who have read by sending; where they stood before, in the same order.
async fn read(connection: &mut SqliteConnection, places: &[ReadTo]) -> Result<Vec<Stood>, Error> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let mut pack = Pack::new();
    for to in places {
        pack.mention(to.conversation, &to.from.user, to.seq);
    }
    let (rows, blob) = pack.finish();
    let mut before = vec![Stood::default(); places.len()];
    let standing = sqlx::query_file!("queries/inbox/standing.sql", rows, blob)
        .fetch_all(&mut *connection)
        .await
        .map_err(from_driver)?;
    for row in standing {
        let place = usize::try_from(row.place).map_err(|_| stored::broken("place"))?;
        let at = before.get_mut(place).ok_or_else(|| stored::broken("place"))?;
        let (delivered, read) = (stored::seq(row.delivered_seq)?, stored::seq(row.read_seq)?);
        let number = stored::unsigned("number", row.number)?;
        *at = Stood { cursors: Cursors { delivered, read }, number };
    }
    sqlx::query_file!("queries/inbox/read.sql", rows, blob)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(before)
}

/// Empties deleted messages and their edits; nobody is mentioned by them any more.
async fn erase(
    connection: &mut SqliteConnection,
    messages: &[(ConversationId, Seq)],
) -> Result<(), Error> {
    if messages.is_empty() {
        return Ok(());
    }
    let mut pack = Pack::new();
    for (conversation, seq) in messages {
        pack.message(*conversation, *seq);
    }
    let (rows, blob) = pack.finish();
    sqlx::query_file!("queries/messages/erase.sql", rows, blob)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/mentions/erase.sql", rows, blob)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}
