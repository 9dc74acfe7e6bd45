//! Pages of a conversation's log, and what is pinned in it.

use godwit_core::entry::Entry;
use godwit_core::ids::ConversationId;
use godwit_core::store::{Error, Page, Range};
use godwit_core::stored::{self, EntryColumns, signed};

use crate::SqliteStore;
use crate::error::from_driver;

/// An entry beside its log's head; only the head when the range holds nothing.
struct Row {
    head_seq: i64,
    seq: Option<i64>,
    message_id: Option<Vec<u8>>,
    kind: Option<i64>,
    sender: Option<String>,
    device: Option<String>,
    time_ms: Option<i64>,
    chain: Option<Vec<u8>>,
    reply_to: Option<i64>,
    target_seq: Option<i64>,
    mentions: Option<String>,
    number: Option<i64>,
    expires_ms: Option<i64>,
    body_gone: Option<bool>,
    body: Option<Vec<u8>>,
}

impl Row {
    fn entry(self, id: ConversationId) -> Result<Option<Entry>, Error> {
        let Some(seq) = self.seq else { return Ok(None) };
        let columns = EntryColumns {
            seq,
            message_id: whole(self.message_id)?,
            kind: whole(self.kind)?,
            sender: whole(self.sender)?,
            device: whole(self.device)?,
            time_ms: whole(self.time_ms)?,
            chain: whole(self.chain)?,
            reply_to: self.reply_to,
            target_seq: self.target_seq,
            mentions: self.mentions,
            number: whole(self.number)?,
            expires_ms: self.expires_ms,
            body_gone: whole(self.body_gone)?,
            body: whole(self.body)?,
        };
        columns.entry(id).map(Some)
    }
}

/// A column that every entry has.
pub(crate) fn whole<T>(column: Option<T>) -> Result<T, Error> {
    column.ok_or_else(|| stored::broken("entry"))
}

/// See [`godwit_core::store::Store::read_log`].
pub(crate) async fn read_log(
    store: &SqliteStore,
    id: ConversationId,
    range: Range,
    limit: u32,
    bytes_max: usize,
) -> Result<Option<Page>, Error> {
    let (key, after) = (&id.as_bytes()[..], signed(range.after.0));
    let before = range.before.map_or(i64::MAX, |seq| signed(seq.0));
    let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    let rows = if range.newest_first {
        sqlx::query_file_as!(
            Row,
            "queries/messages/page_back.sql",
            key,
            after,
            before,
            limit,
            bytes_max
        )
        .fetch_all(&mut *store.reader().await?)
        .await
    } else {
        sqlx::query_file_as!(Row, "queries/messages/page.sql", key, after, before, limit, bytes_max)
            .fetch_all(&mut *store.reader().await?)
            .await
    };
    let rows = rows.map_err(from_driver)?;
    let Some(first) = rows.first() else { return Ok(None) };
    let head_seq = stored::seq(first.head_seq)?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        entries.extend(row.entry(id)?);
    }
    Ok(Some(Page { entries, head_seq }))
}

/// See [`godwit_core::inbox::Inboxes::pins`].
pub(crate) async fn pins(
    store: &SqliteStore,
    id: ConversationId,
    limit: u32,
) -> Result<Vec<Entry>, Error> {
    let key = &id.as_bytes()[..];
    sqlx::query_file_as!(EntryColumns, "queries/messages/pins.sql", key, limit)
        .fetch_all(&mut *store.reader().await?)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|columns| columns.entry(id))
        .collect()
}
