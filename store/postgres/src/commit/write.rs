//! What a plan writes: one statement for entries, mentions, events and heads; one transaction when
//! there are bodies to erase, too.

use std::collections::HashMap;

use godwit_core::commit::{Head, Plan, ReadTo, Stood, StoredKey};
use godwit_core::entry::{ChainHash, Entry};
use godwit_core::ids::{ConversationId, Seq, UserId};
use godwit_core::receipt::Cursors;
use godwit_core::store::Error;
use godwit_core::stored::{mentions_text, signed};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::column;
use crate::error::from_driver;

/// Where a plan found a head: it is written only if the head still stands there. The chain tells two
/// logs of the same length apart: after a failover that lost entries, another process may have
/// written others in their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) seq: Seq,
    pub(crate) group_version: u64,
    pub(crate) chain: ChainHash,
}

impl Found {
    pub(crate) fn of(head: &Head) -> Self {
        Self { seq: head.seq, group_version: head.group_version, chain: head.chain }
    }
}

/// A head that a plan moves: where it was found, and as it is afterwards.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moved {
    pub(crate) conversation: ConversationId,
    pub(crate) found: Found,
    pub(crate) head: Head,
}

/// Writes a plan of sends. Returns where the cursors of those who have read by sending stood before;
/// `None`: a head stood elsewhere, and nothing was written.
pub(super) async fn plan(
    connection: &mut PgConnection,
    plan: &Plan,
    heads: &[Moved],
) -> Result<Option<Vec<Stood>>, sqlx::Error> {
    if plan.erase.is_empty() && plan.renamed.is_empty() {
        return write(connection, &plan.entries, heads, &plan.read).await;
    }
    let mut tx = connection.begin().await?;
    let Some(before) = write(&mut tx, &plan.entries, heads, &plan.read).await? else {
        tx.rollback().await?;
        return Ok(None);
    };
    rename(&mut tx, &plan.renamed).await?;
    erase(&mut tx, &plan.erase).await?;
    tx.commit().await?;
    Ok(Some(before))
}

/// The heads that a plan of sends moves, and where they were `found`.
pub(super) fn moved(plan: &Plan, found: &HashMap<ConversationId, Found>) -> Vec<Moved> {
    let moved = |&(conversation, head): &(ConversationId, Head)| {
        // A plan moves only heads that it was given.
        let found = found.get(&conversation).copied().unwrap_or_else(|| Found::of(&head));
        Moved { conversation, found, head }
    };
    plan.heads.iter().map(moved).collect()
}

/// Writes entries, their events, and the heads after them, if the heads still stand where they were
/// found. Returns whether they did; if not, nothing was written.
pub(crate) async fn append(
    connection: &mut PgConnection,
    entries: &[(Entry, StoredKey)],
    heads: &[Moved],
) -> Result<bool, Error> {
    let before = write(connection, entries, heads, &[]).await.map_err(from_driver)?;
    Ok(before.is_some())
}

async fn write(
    connection: &mut PgConnection,
    entries: &[(Entry, StoredKey)],
    heads: &[Moved],
    read: &[ReadTo],
) -> Result<Option<Vec<Stood>>, sqlx::Error> {
    let h = HeadArrays::of(heads);
    let e = EntryArrays::of(entries);
    let m = MentionArrays::of(entries);
    let readers: Vec<&str> = read.iter().map(|to| to.from.user.as_str()).collect();
    let read_in: Vec<Uuid> = read.iter().map(|to| column(to.conversation)).collect();
    let read_to: Vec<i64> = read.iter().map(|to| signed(to.seq.0)).collect();
    // All rows are awaited, not only the first: outside of a transaction Postgres commits after
    // its last row, and says so by the end of the answer.
    let verdict = sqlx::query_file!(
        "queries/messages/append.sql",
        &h.ids,
        &h.found_seqs,
        &h.found_versions,
        &h.found_chains as &[&[u8]],
        &h.seqs,
        &h.chains as &[&[u8]],
        &h.versions,
        &h.numbers,
        &h.active_seqs,
        &h.actives_ms,
        &e.conversations,
        &e.seqs,
        &e.message_ids,
        &e.kinds,
        &e.senders as &[&str],
        &e.devices as &[&str],
        &e.keys as &[&str],
        &e.times_ms,
        &e.chains as &[&[u8]],
        &e.numbers,
        &e.replies_to as &[Option<i64>],
        &e.targets as &[Option<i64>],
        &e.mentions as &[Option<String>],
        &e.expiries_ms as &[Option<i64>],
        &e.bodies as &[&[u8]],
        &m.conversations,
        &m.users as &[&str],
        &m.seqs,
        &e.fingerprints as &[Option<i64>],
        &read_in,
        &readers as &[&str],
        &read_to,
    )
    .fetch_all(connection)
    .await?;
    let Some(verdict) = verdict.first().filter(|verdict| verdict.stands) else { return Ok(None) };
    let count = |value: &i64| u64::try_from(*value).unwrap_or_default();
    let standing = verdict.delivered.iter().zip(&verdict.read).zip(&verdict.numbers);
    let stood = standing.map(|((delivered, read), number)| Stood {
        cursors: Cursors { delivered: Seq(count(delivered)), read: Seq(count(read)) },
        number: count(number),
    });
    Ok(Some(stood.collect()))
}

/// The first parameters of `messages/append`.
struct HeadArrays<'a> {
    ids: Vec<Uuid>,
    found_seqs: Vec<i64>,
    found_versions: Vec<i64>,
    found_chains: Vec<&'a [u8]>,
    seqs: Vec<i64>,
    chains: Vec<&'a [u8]>,
    versions: Vec<i64>,
    numbers: Vec<i64>,
    active_seqs: Vec<i64>,
    actives_ms: Vec<i64>,
}

impl<'a> HeadArrays<'a> {
    fn of(heads: &'a [Moved]) -> Self {
        let found = || heads.iter().map(|moved| &moved.found);
        let all = || heads.iter().map(|moved| &moved.head);
        Self {
            ids: heads.iter().map(|moved| column(moved.conversation)).collect(),
            found_seqs: found().map(|found| signed(found.seq.0)).collect(),
            found_versions: found().map(|found| signed(found.group_version)).collect(),
            found_chains: found().map(|found| &found.chain.0[..]).collect(),
            seqs: all().map(|head| signed(head.seq.0)).collect(),
            chains: all().map(|head| &head.chain.0[..]).collect(),
            versions: all().map(|head| signed(head.group_version)).collect(),
            numbers: all().map(|head| signed(head.number)).collect(),
            active_seqs: all().map(|head| signed(head.active.0.0)).collect(),
            actives_ms: all().map(|head| signed(head.active.1)).collect(),
        }
    }
}

/// The next parameters of `messages/append`.
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
    numbers: Vec<i64>,
    replies_to: Vec<Option<i64>>,
    targets: Vec<Option<i64>>,
    mentions: Vec<Option<String>>,
    expiries_ms: Vec<Option<i64>>,
    bodies: Vec<&'a [u8]>,
    fingerprints: Vec<Option<i64>>,
}

impl<'a> EntryArrays<'a> {
    fn of(entries: &'a [(Entry, StoredKey)]) -> Self {
        let all = || entries.iter().map(|(entry, _)| entry);
        Self {
            conversations: all().map(|e| column(e.conversation)).collect(),
            seqs: all().map(|e| signed(e.seq.0)).collect(),
            message_ids: all().map(|e| Uuid::from_bytes(e.message_id.0)).collect(),
            kinds: all().map(|e| i16::from(e.kind.code())).collect(),
            senders: all().map(|e| e.sender.as_str()).collect(),
            devices: all().map(|e| e.device.as_str()).collect(),
            keys: entries.iter().map(|(_, key)| key.text.as_str()).collect(),
            times_ms: all().map(|e| signed(e.time_ms)).collect(),
            chains: all().map(|e| &e.chain.0[..]).collect(),
            numbers: all().map(|e| signed(e.number)).collect(),
            replies_to: all().map(|e| e.reply_to.map(|seq| signed(seq.0))).collect(),
            targets: all().map(|e| e.target.map(|seq| signed(seq.0))).collect(),
            mentions: all().map(|e| mentions_text(&e.mentions)).collect(),
            expiries_ms: all().map(|e| e.expires_ms.map(signed)).collect(),
            bodies: all().map(|e| &e.body[..]).collect(),
            fingerprints: entries
                .iter()
                .map(|(_, key)| key.fingerprint.map(|asked| asked.0))
                .collect(),
        }
    }
}

/// The last parameters of `messages/append`: whom entries name besides their senders, each once.
#[derive(Default)]
struct MentionArrays<'a> {
    conversations: Vec<Uuid>,
    users: Vec<&'a str>,
    seqs: Vec<i64>,
}

impl<'a> MentionArrays<'a> {
    fn of(entries: &'a [(Entry, StoredKey)]) -> Self {
        let mut mentions = Self::default();
        // Those of an edit are its message's: see `rename`.
        for (entry, _) in entries.iter().filter(|(entry, _)| entry.target.is_none()) {
            let mut users: Vec<&UserId> =
                entry.mentions.iter().filter(|user| **user != entry.sender).collect();
            users.sort();
            users.dedup();
            for user in users {
                mentions.conversations.push(column(entry.conversation));
                mentions.users.push(user.as_str());
                mentions.seqs.push(signed(entry.seq.0));
            }
        }
        mentions
    }
}

/// Notes whom edited messages name now, in place of whom they named.
async fn rename(
    connection: &mut PgConnection,
    renamed: &[(ConversationId, Seq, Vec<UserId>)],
) -> Result<(), sqlx::Error> {
    if renamed.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = renamed.iter().map(|(id, ..)| column(*id)).collect();
    let seqs: Vec<i64> = renamed.iter().map(|(_, seq, _)| signed(seq.0)).collect();
    sqlx::query_file!("queries/mentions/erase.sql", &ids, &seqs).execute(&mut *connection).await?;
    let mut now = MentionArrays::default();
    for (id, seq, users) in renamed {
        for user in users {
            now.conversations.push(column(*id));
            now.users.push(user.as_str());
            now.seqs.push(signed(seq.0));
        }
    }
    sqlx::query_file!(
        "queries/mentions/put.sql",
        &now.conversations,
        &now.users as &[&str],
        &now.seqs
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Empties deleted messages and their edits, and forgets whom they mention.
async fn erase(
    connection: &mut PgConnection,
    deleted: &[(ConversationId, Seq)],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = deleted.iter().map(|(id, _)| column(*id)).collect();
    let seqs: Vec<i64> = deleted.iter().map(|(_, seq)| signed(seq.0)).collect();
    sqlx::query_file!("queries/mentions/erase.sql", &ids, &seqs).execute(&mut *connection).await?;
    sqlx::query_file!("queries/messages/erase.sql", &ids, &seqs).execute(connection).await?;
    Ok(())
}
