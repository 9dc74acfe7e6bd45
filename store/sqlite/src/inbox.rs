//! A user's inbox: pages of it, and the user's own marks.

use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, UserId};
use godwit_core::inbox::{Checked, InboxQuery, Inboxes, Item, Marks, MarksChange, Shelf};
use godwit_core::limits::{INBOX_PAGE_MAX, UNREAD_SCAN_MAX};
use godwit_core::receipt::{Cursors, Receipt, Report, Verdict};
use godwit_core::store::{Error, Pending};
use godwit_core::stored::{self, EntryColumns, signed};

use crate::SqliteStore;
use crate::error::from_driver;
use crate::{check, log, receipts};

impl Inboxes for SqliteStore {
    fn inbox<'a>(&'a self, user: &'a UserId, query: &'a InboxQuery) -> Pending<'a, Vec<Item>> {
        Box::pin(page(self, user, query))
    }

    fn change_marks<'a>(
        &'a self,
        user: &'a UserId,
        conversation: ConversationId,
        change: &'a MarksChange,
    ) -> Pending<'a, Option<Marks>> {
        Box::pin(change_marks(self, user, conversation, change))
    }

    fn report<'a>(&'a self, reports: &'a [Report]) -> Pending<'a, Vec<Verdict>> {
        Box::pin(receipts::report(self, reports))
    }

    fn receipts(&self, conversation: ConversationId) -> Pending<'_, Vec<Receipt>> {
        Box::pin(receipts::of(self, conversation))
    }

    fn pins(&self, conversation: ConversationId, limit: u32) -> Pending<'_, Vec<Entry>> {
        Box::pin(log::pins(self, conversation, limit))
    }

    fn check_inboxes(
        &self,
        after: Option<ConversationId>,
        limit: u32,
        repair: bool,
    ) -> Pending<'_, Checked> {
        Box::pin(check::check(self, after, limit, repair))
    }
}

/// A row of `inbox/page`.
struct Row {
    id: Vec<u8>,
    kind: i64,
    head_seq: i64,
    head_chain: Vec<u8>,
    group_version: i64,
    active_ms: i64,
    role: i64,
    tag: i64,
    visible_seq: i64,
    delivered_seq: i64,
    read_seq: i64,
    muted_until_ms: Option<i64>,
    archived: bool,
    pinned_ms: Option<i64>,
    marked_unread: bool,
    title: String,
    peer: Option<String>,
    members: i64,
    unread: i64,
    mentions: i64,
    // The preview.
    seq: Option<i64>,
    message_id: Option<Vec<u8>>,
    entry_kind: Option<i64>,
    sender: Option<String>,
    device: Option<String>,
    time_ms: Option<i64>,
    chain: Option<Vec<u8>>,
    reply_to: Option<i64>,
    target_seq: Option<i64>,
    named: Option<String>,
    number: Option<i64>,
    expires_ms: Option<i64>,
    body_gone: Option<bool>,
    body: Option<Vec<u8>>,
}

async fn page(store: &SqliteStore, user: &UserId, query: &InboxQuery) -> Result<Vec<Item>, Error> {
    let (name, limit) = (user.as_str(), query.limit.min(INBOX_PAGE_MAX));
    // Every id is above the empty blob and below seventeen bytes of 0xff.
    let (lowest, highest) = query
        .only
        .map_or_else(|| (Vec::new(), vec![0xff; 17]), |id| (id.0.to_vec(), id.0.to_vec()));
    let (shelf, after) = match query.only {
        Some(_) => (Shelf::All, None),
        None => (query.shelf, query.after),
    };
    let archived = match shelf {
        Shelf::Open => Some(false),
        Shelf::Archived => Some(true),
        Shelf::All => None,
    };
    let after_pinned = after.map(|place| place.pinned);
    let after_ms = after.map(|place| signed(place.active_ms));
    let after_id = after.map(|place| place.conversation.0.to_vec());
    sqlx::query_file_as!(
        Row,
        "queries/inbox/page.sql",
        name,
        lowest,
        highest,
        archived,
        after_pinned,
        after_ms,
        after_id,
        limit,
        UNREAD_SCAN_MAX
    )
    .fetch_all(&store.readers())
    .await
    .map_err(from_driver)?
    .into_iter()
    .map(Row::item)
    .collect()
}

impl Row {
    fn item(mut self) -> Result<Item, Error> {
        let conversation = stored::conversation_id(&self.id)?;
        Ok(Item {
            conversation,
            kind: stored::conversation_kind(self.kind)?,
            title: std::mem::take(&mut self.title),
            peer: self.peer.as_deref().map(stored::user).transpose()?,
            members: u32::try_from(self.members).map_err(|_| stored::broken("count"))?,
            head_seq: stored::seq(self.head_seq)?,
            head_chain: stored::chain(&self.head_chain)?,
            group_version: stored::unsigned("group version", self.group_version)?,
            role: stored::role(self.role)?,
            tag: stored::tag(self.tag)?,
            visible_seq: stored::seq(self.visible_seq)?,
            active_ms: stored::unsigned("activity", self.active_ms)?,
            // Below 0 only where a check has something to mend: an inbox is shown all the same.
            unread: u64::try_from(self.unread).unwrap_or(0),
            mentions: stored::unsigned("count", self.mentions)?,
            cursors: Cursors {
                delivered: stored::seq(self.delivered_seq)?,
                read: stored::seq(self.read_seq)?,
            },
            marks: marks(self.muted_until_ms, self.archived, self.pinned_ms, self.marked_unread)?,
            preview: self.preview(conversation)?,
        })
    }

    fn preview(self, conversation: ConversationId) -> Result<Option<Entry>, Error> {
        let Some(seq) = self.seq else { return Ok(None) };
        let columns = EntryColumns {
            seq,
            message_id: log::whole(self.message_id)?,
            kind: log::whole(self.entry_kind)?,
            sender: log::whole(self.sender)?,
            device: log::whole(self.device)?,
            time_ms: log::whole(self.time_ms)?,
            chain: log::whole(self.chain)?,
            reply_to: self.reply_to,
            target_seq: self.target_seq,
            mentions: self.named,
            number: log::whole(self.number)?,
            expires_ms: self.expires_ms,
            body_gone: log::whole(self.body_gone)?,
            body: log::whole(self.body)?,
        };
        columns.entry(conversation).map(Some)
    }
}

fn marks(
    muted_until_ms: Option<i64>,
    archived: bool,
    pinned_ms: Option<i64>,
    marked_unread: bool,
) -> Result<Marks, Error> {
    // The highest that a column holds stands for good.
    let time = |at: i64| match at {
        i64::MAX => Ok(u64::MAX),
        at => stored::unsigned("time", at),
    };
    Ok(Marks {
        muted_until_ms: muted_until_ms.map(time).transpose()?,
        archived,
        pinned_ms: pinned_ms.map(time).transpose()?,
        marked_unread,
    })
}

async fn change_marks(
    store: &SqliteStore,
    user: &UserId,
    conversation: ConversationId,
    change: &MarksChange,
) -> Result<Option<Marks>, Error> {
    let mut tx = store.begin().await?;
    let (id, name) = (&conversation.as_bytes()[..], user.as_str());
    let row = sqlx::query_file!("queries/inbox/marks.sql", id, name)
        .fetch_optional(&mut *tx)
        .await
        .map_err(from_driver)?;
    let Some(row) = row else { return Ok(None) };
    let before = marks(row.muted_until_ms, row.archived, row.pinned_ms, row.marked_unread)?;
    let after = change.apply(before);
    if after != before {
        let (muted, pinned) = (after.muted_until_ms.map(signed), after.pinned_ms.map(signed));
        let (archived, unread) = (after.archived, after.marked_unread);
        sqlx::query_file!("queries/inbox/put_marks.sql", id, name, muted, archived, pinned, unread)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?;
        tx.commit().await?;
    }
    Ok(Some(after))
}
