//! Stage 4: a batch of sends in two statements.
//!
//! The first reads what the batch touches, [`plan`] decides, the second writes the plan if every
//! head still stands where the first found it. Everything that happens to a conversation moves its
//! head, so a standing head means that members and earlier keys stand, too: the two statements are
//! one transaction without BEGIN, locks held between, or COMMIT, which saves two round trips and
//! the record of the locks. When another process was faster, the same two statements run again in a
//! transaction that locks the heads first. And when this process wrote the conversation last, it
//! remembers what the first statement would read (`recent`), and the second one is enough.

use std::collections::HashMap;

use godwit_core::commit::{Committed, Fate, Head, Loaded, Send as SendRequest, plan};
use godwit_core::entry::Entry;
use godwit_core::ids::ConversationId;
use godwit_core::store::Error;
use godwit_core::stored::{self, signed};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::error::from_driver;
use crate::recent::Recent;
use crate::{PostgresStore, column};

/// See [`godwit_core::store::Store::commit`].
pub(crate) async fn commit(
    store: &PostgresStore,
    batch: &[SendRequest],
) -> Result<Committed, Error> {
    let mut writer = store.writers.take().await?;
    let committed = match from_memory(&store.recent, &mut writer.connection, batch).await? {
        Some(committed) => committed,
        None => match attempt(&mut writer.connection, batch).await? {
            Some(committed) => committed,
            None => under_locks(&mut writer.connection, batch).await?,
        },
    };
    store.recent.note(&committed);
    writer.rest();
    Ok(committed)
}

/// Decides by what this process remembers and writes at once: one statement instead of two. `None`:
/// the store must be asked, nothing was written.
async fn from_memory(
    recent: &Recent,
    connection: &mut PgConnection,
    batch: &[SendRequest],
) -> Result<Option<Committed>, Error> {
    let Some(loaded) = recent.load(batch) else { return Ok(None) };
    let plan = plan(batch, loaded);
    // A refusal is the store's to give: what is remembered may be old.
    if plan.fates.iter().any(|fate| !matches!(fate, Fate::Accepted { .. })) {
        return Ok(None);
    }
    match write(connection, &plan.entries, &plan.heads).await {
        Ok(true) => return Ok(Some(plan.committed())),
        Ok(false) => {}
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
) -> Result<Committed, Error> {
    let mut tx = connection.begin().await.map_err(from_driver)?;
    lock(&mut tx, batch.iter().map(|send| send.conversation)).await?;
    let committed = attempt(&mut tx, batch).await?;
    let committed = committed.ok_or_else(|| stored::broken("head (it moved under its lock)"))?;
    tx.commit().await.map_err(from_driver)?;
    Ok(committed)
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
) -> Result<Option<Committed>, Error> {
    let loaded = load(connection, batch).await?;
    let plan = plan(batch, loaded);
    if !plan.entries.is_empty() && !append(connection, &plan.entries, &plan.heads).await? {
        return Ok(None);
    }
    Ok(Some(plan.committed()))
}

/// Reads what the batch touches.
async fn load(connection: &mut PgConnection, batch: &[SendRequest]) -> Result<Loaded, Error> {
    let ids: Vec<Uuid> = batch.iter().map(|send| column(send.conversation)).collect();
    let users: Vec<&str> = batch.iter().map(|send| send.from.user.as_str()).collect();
    let devices: Vec<&str> = batch.iter().map(|send| send.from.device.as_str()).collect();
    let keys: Vec<String> = batch.iter().map(|send| send.key.to_stored()).collect();
    let rows = sqlx::query_file!(
        "queries/conversations/load.sql",
        &ids,
        &users as &[&str],
        &devices as &[&str],
        &keys
    )
    .fetch_all(connection)
    .await
    .map_err(from_driver)?;
    let mut loaded = Loaded::default();
    for row in rows {
        // Ordinality counts from 1.
        let place = usize::try_from(row.place - 1).map_err(|_| stored::broken("place"))?;
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
            let first = (stored::message_id(message_id.as_bytes())?, stored::seq(seq)?);
            loaded.earlier.insert((id, send.from.clone(), key.clone()), first);
        }
    }
    Ok(loaded)
}

/// Writes entries, their events, and the heads after them, if the heads still stand where the
/// entries follow on. Returns whether they did; if not, nothing was written.
pub(crate) async fn append(
    connection: &mut PgConnection,
    entries: &[(Entry, String)],
    heads: &[(ConversationId, Head)],
) -> Result<bool, Error> {
    write(connection, entries, heads).await.map_err(from_driver)
}

async fn write(
    connection: &mut PgConnection,
    entries: &[(Entry, String)],
    heads: &[(ConversationId, Head)],
) -> Result<bool, sqlx::Error> {
    let heads = HeadColumns::of(entries, heads);
    let e = EntryArrays::of(entries);
    // All rows are awaited, not only the first: outside of a transaction Postgres commits after
    // its last row, and says so by the end of the answer.
    let verdict = sqlx::query_file_scalar!(
        "queries/messages/append.sql",
        &heads.ids,
        &heads.found_seqs,
        &heads.seqs,
        &heads.chains as &[&[u8]],
        &heads.versions,
        &e.conversations,
        &e.seqs,
        &e.message_ids,
        &e.kinds,
        &e.senders as &[&str],
        &e.devices as &[&str],
        &e.keys as &[&str],
        &e.times_ms,
        &e.chains as &[&[u8]],
        &e.replies_to as &[Option<i64>],
        &e.expiries_ms as &[Option<i64>],
        &e.bodies as &[&[u8]],
    )
    .fetch_all(connection)
    .await?;
    Ok(verdict == [true])
}

/// The first five parameters of `messages/append`.
struct HeadColumns<'a> {
    ids: Vec<Uuid>,
    found_seqs: Vec<i64>,
    seqs: Vec<i64>,
    chains: Vec<&'a [u8]>,
    versions: Vec<i64>,
}

impl<'a> HeadColumns<'a> {
    fn of(entries: &[(Entry, String)], heads: &'a [(ConversationId, Head)]) -> Self {
        let mut added: HashMap<ConversationId, u64> = HashMap::with_capacity(heads.len());
        for (entry, _) in entries {
            *added.entry(entry.conversation).or_default() += 1;
        }
        let found = |id: &ConversationId, head: &Head| {
            signed(head.seq.0.saturating_sub(added.get(id).copied().unwrap_or_default()))
        };
        Self {
            ids: heads.iter().map(|(id, _)| column(*id)).collect(),
            found_seqs: heads.iter().map(|(id, head)| found(id, head)).collect(),
            seqs: heads.iter().map(|(_, head)| signed(head.seq.0)).collect(),
            chains: heads.iter().map(|(_, head)| &head.chain.0[..]).collect(),
            versions: heads.iter().map(|(_, head)| signed(head.group_version)).collect(),
        }
    }
}

/// The other parameters of `messages/append`.
struct EntryArrays<'a> {
    conversations: Vec<Uuid>,
    seqs: Vec<i64>,
    message_ids: Vec<Uuid>,
    kinds: Vec<i16>,
    senders: Vec<&'a str>,
    devices: Vec<&'a str>,
    keys: Vec<&'a str>,
    times_ms: Vec<i64>,
    chains: Vec<&'a [u8]>,
    replies_to: Vec<Option<i64>>,
    expiries_ms: Vec<Option<i64>>,
    bodies: Vec<&'a [u8]>,
}

impl<'a> EntryArrays<'a> {
    fn of(entries: &'a [(Entry, String)]) -> Self {
        let all = || entries.iter().map(|(entry, _)| entry);
        Self {
            conversations: all().map(|e| column(e.conversation)).collect(),
            seqs: all().map(|e| signed(e.seq.0)).collect(),
            message_ids: all().map(|e| Uuid::from_bytes(e.message_id.0)).collect(),
            kinds: all().map(|e| i16::from(e.kind.code())).collect(),
            senders: all().map(|e| e.sender.as_str()).collect(),
            devices: all().map(|e| e.device.as_str()).collect(),
            keys: entries.iter().map(|(_, key)| key.as_str()).collect(),
            times_ms: all().map(|e| signed(e.time_ms)).collect(),
            chains: all().map(|e| &e.chain.0[..]).collect(),
            replies_to: all().map(|e| e.reply_to.map(|seq| signed(seq.0))).collect(),
            expiries_ms: all().map(|e| e.expires_ms.map(signed)).collect(),
            bodies: all().map(|e| &e.body[..]).collect(),
        }
    }
}
