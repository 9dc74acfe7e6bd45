//! Pages of logs, and single entries.

use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, Identity};
use godwit_core::store::{Error, Page, Range};
use godwit_core::stored::{self, EntryColumns, signed};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::from_driver;
use crate::{PostgresStore, column};

/// An entry as a row.
pub(crate) struct EntryRow {
    pub(crate) seq: i64,
    pub(crate) message_id: Uuid,
    pub(crate) kind: i16,
    pub(crate) sender: String,
    pub(crate) device: String,
    pub(crate) time_ms: i64,
    pub(crate) chain: Vec<u8>,
    pub(crate) number: i64,
    pub(crate) reply_to: Option<i64>,
    pub(crate) target_seq: Option<i64>,
    pub(crate) mentions: Option<String>,
    pub(crate) expires_ms: Option<i64>,
    pub(crate) body_gone: bool,
    pub(crate) body: Vec<u8>,
}

impl EntryRow {
    /// The entry.
    pub(crate) fn entry(self, conversation: ConversationId) -> Result<Entry, Error> {
        let columns = EntryColumns {
            seq: self.seq,
            message_id: self.message_id.as_bytes().to_vec(),
            kind: i64::from(self.kind),
            sender: self.sender,
            device: self.device,
            time_ms: self.time_ms,
            chain: self.chain,
            reply_to: self.reply_to,
            target_seq: self.target_seq,
            mentions: self.mentions,
            number: self.number,
            expires_ms: self.expires_ms,
            body_gone: self.body_gone,
            body: self.body,
        };
        columns.entry(conversation)
    }
}

/// A row of a page; one without an entry stands for an empty page.
struct PageRow {
    head_seq: i64,
    seq: Option<i64>,
    message_id: Option<Uuid>,
    kind: Option<i16>,
    sender: Option<String>,
    device: Option<String>,
    time_ms: Option<i64>,
    chain: Option<Vec<u8>>,
    number: Option<i64>,
    reply_to: Option<i64>,
    target_seq: Option<i64>,
    mentions: Option<String>,
    expires_ms: Option<i64>,
    body_gone: Option<bool>,
    body: Option<Vec<u8>>,
}

impl PageRow {
    fn entry(self) -> Option<EntryRow> {
        Some(EntryRow {
            seq: self.seq?,
            message_id: self.message_id?,
            kind: self.kind?,
            sender: self.sender?,
            device: self.device?,
            time_ms: self.time_ms?,
            chain: self.chain?,
            number: self.number?,
            reply_to: self.reply_to,
            target_seq: self.target_seq,
            mentions: self.mentions,
            expires_ms: self.expires_ms,
            body_gone: self.body_gone?,
            body: self.body?,
        })
    }
}

/// See [`godwit_core::store::Store::read_log`].
pub(crate) async fn read(
    store: &PostgresStore,
    id: ConversationId,
    range: Range,
    limit: u32,
    bytes_max: usize,
) -> Result<Option<Page>, Error> {
    let (key, limit) = (column(id), i64::from(limit));
    let after = signed(range.after.0);
    // No place is as high as the highest number.
    let before = range.before.map_or(i64::MAX, |seq| signed(seq.0));
    let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    let rows = if range.newest_first {
        sqlx::query_file_as!(
            PageRow,
            "queries/messages/page_back.sql",
            key,
            after,
            before,
            limit,
            bytes_max
        )
        .fetch_all(&mut *store.readers.take().await?)
        .await
    } else {
        sqlx::query_file_as!(
            PageRow,
            "queries/messages/page.sql",
            key,
            after,
            before,
            limit,
            bytes_max
        )
        .fetch_all(&mut *store.readers.take().await?)
        .await
    };
    let mut page: Option<Page> = None;
    for row in rows.map_err(from_driver)? {
        let head_seq = stored::seq(row.head_seq)?;
        let page = page.get_or_insert_with(|| Page { entries: Vec::new(), head_seq });
        if let Some(entry) = row.entry() {
            page.entries.push(entry.entry(id)?);
        }
    }
    Ok(page)
}

/// The entry that a key was committed as.
pub(crate) async fn by_key(
    connection: &mut PgConnection,
    conversation: ConversationId,
    from: &Identity,
    key: &str,
) -> Result<Option<Entry>, Error> {
    let id = column(conversation);
    let (user, device) = (from.user.as_str(), from.device.as_str());
    sqlx::query_file_as!(EntryRow, "queries/messages/by_key.sql", id, user, device, key)
        .fetch_optional(connection)
        .await
        .map_err(from_driver)?
        .map(|row| row.entry(conversation))
        .transpose()
}

/// See [`godwit_core::inbox::Inboxes::pins`].
pub(crate) async fn pins(
    store: &PostgresStore,
    conversation: ConversationId,
    limit: u32,
) -> Result<Vec<Entry>, Error> {
    let (id, limit) = (column(conversation), i64::from(limit));
    sqlx::query_file_as!(EntryRow, "queries/messages/pins.sql", id, limit)
        .fetch_all(&mut *store.readers.take().await?)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|row| row.entry(conversation))
        .collect()
}
