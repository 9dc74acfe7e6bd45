//! Inboxes: pages of a user's conversations, and the user's own marks.

use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, UserId};
use godwit_core::inbox::{Checked, InboxQuery, Inboxes, Item, Marks, MarksChange, Shelf};
use godwit_core::limits::{INBOX_PAGE_MAX, UNREAD_SCAN_MAX};
use godwit_core::receipt::{Cursors, Receipt, Report, Verdict};
use godwit_core::store::{Error, Pending};
use godwit_core::stored::{self, signed};
use uuid::Uuid;

use crate::error::from_driver;
use crate::log::EntryRow;
use crate::{PostgresStore, check, column, hold, log, receipts};

impl Inboxes for PostgresStore {
    fn inbox<'a>(&'a self, user: &'a UserId, query: &'a InboxQuery) -> Pending<'a, Vec<Item>> {
        self.bounded(page(self, user, query))
    }

    fn change_marks<'a>(
        &'a self,
        user: &'a UserId,
        conversation: ConversationId,
        change: &'a MarksChange,
    ) -> Pending<'a, Option<Marks>> {
        self.bounded(change_marks(self, user, conversation, change))
    }

    fn report<'a>(&'a self, reports: &'a [Report]) -> Pending<'a, Vec<Verdict>> {
        self.bounded(receipts::report(self, reports))
    }

    fn receipts(&self, conversation: ConversationId) -> Pending<'_, Vec<Receipt>> {
        self.bounded(receipts::of_conversation(self, conversation))
    }

    fn pins(&self, conversation: ConversationId, limit: u32) -> Pending<'_, Vec<Entry>> {
        self.bounded(log::pins(self, conversation, limit))
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

/// A row of `inbox/page`. The columns from `seq` on are the preview's.
struct Row {
    id: Uuid,
    kind: i16,
    head_seq: i64,
    head_chain: Vec<u8>,
    group_version: i64,
    active_ms: i64,
    role: i16,
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
    seq: Option<i64>,
    message_id: Option<Uuid>,
    entry_kind: Option<i16>,
    sender: Option<String>,
    device: Option<String>,
    time_ms: Option<i64>,
    chain: Option<Vec<u8>>,
    number: Option<i64>,
    reply_to: Option<i64>,
    target_seq: Option<i64>,
    named: Option<String>,
    expires_ms: Option<i64>,
    body_gone: Option<bool>,
    body: Option<Vec<u8>>,
}

impl Row {
    fn item(mut self) -> Result<Item, Error> {
        let conversation = ConversationId(self.id.into_bytes());
        let preview = self.take_preview().map(|row| row.entry(conversation)).transpose()?;
        let delivered = stored::seq(self.delivered_seq)?;
        Ok(Item {
            conversation,
            kind: stored::conversation_kind(i64::from(self.kind))?,
            title: self.title,
            peer: self.peer.as_deref().map(stored::user).transpose()?,
            members: u32::try_from(self.members).map_err(|_| stored::broken("members"))?,
            head_seq: stored::seq(self.head_seq)?,
            head_chain: stored::chain(&self.head_chain)?,
            group_version: stored::unsigned("group version", self.group_version)?,
            role: stored::role(i64::from(self.role))?,
            tag: stored::tag(self.tag)?,
            visible_seq: stored::seq(self.visible_seq)?,
            active_ms: stored::unsigned("activity", self.active_ms)?,
            preview,
            unread: stored::unsigned("number", self.unread)?,
            mentions: stored::unsigned("number", self.mentions)?,
            cursors: Cursors { delivered, read: stored::seq(self.read_seq)? },
            marks: Marks {
                muted_until_ms: self.muted_until_ms.map(until).transpose()?,
                archived: self.archived,
                pinned_ms: self.pinned_ms.map(until).transpose()?,
                marked_unread: self.marked_unread,
            },
        })
    }

    fn take_preview(&mut self) -> Option<EntryRow> {
        Some(EntryRow {
            seq: self.seq?,
            message_id: self.message_id?,
            kind: self.entry_kind?,
            sender: self.sender.take()?,
            device: self.device.take()?,
            time_ms: self.time_ms?,
            chain: self.chain.take()?,
            number: self.number?,
            reply_to: self.reply_to,
            target_seq: self.target_seq,
            mentions: self.named.take(),
            expires_ms: self.expires_ms,
            body_gone: self.body_gone?,
            body: self.body.take()?,
        })
    }
}

/// A stored time; the highest one stands for good.
fn until(value: i64) -> Result<u64, Error> {
    if value == i64::MAX { Ok(u64::MAX) } else { stored::unsigned("time", value) }
}

/// See [`Inboxes::inbox`].
async fn page(
    store: &PostgresStore,
    user: &UserId,
    query: &InboxQuery,
) -> Result<Vec<Item>, Error> {
    let (shelf, after) = match query.only {
        Some(_) => (Shelf::All, None),
        None => (query.shelf, query.after),
    };
    let archived = match shelf {
        Shelf::Open => Some(false),
        Shelf::Archived => Some(true),
        Shelf::All => None,
    };
    let (first, last) = match query.only {
        Some(only) => (column(only), column(only)),
        None => (Uuid::nil(), Uuid::max()),
    };
    let limit = if query.only.is_some() { 1 } else { query.limit.min(INBOX_PAGE_MAX) };
    sqlx::query_file_as!(
        Row,
        "queries/inbox/page.sql",
        user.as_str(),
        first,
        last,
        archived,
        after.map(|after| after.pinned),
        after.map(|after| signed(after.active_ms)),
        after.map(|after| column(after.conversation)),
        i64::from(limit),
        i64::from(UNREAD_SCAN_MAX)
    )
    .fetch_all(&store.readers)
    .await
    .map_err(from_driver)?
    .into_iter()
    .map(Row::item)
    .collect()
}

/// See [`Inboxes::change_marks`].
async fn change_marks(
    store: &PostgresStore,
    user: &UserId,
    conversation: ConversationId,
    change: &MarksChange,
) -> Result<Option<Marks>, Error> {
    let mut tx = store.begin().await?;
    let (id, name) = (column(conversation), user.as_str());
    let keys = hold::Keys { conversations: &[id], users: &[name] };
    if hold::members(&mut tx, keys).await? == 0 {
        return Ok(None);
    }
    let row = sqlx::query_file!("queries/inbox/marks.sql", id, name)
        .fetch_optional(&mut *tx)
        .await
        .map_err(from_driver)?;
    let before = match row {
        None => Marks::default(),
        Some(row) => Marks {
            muted_until_ms: row.muted_until_ms.map(until).transpose()?,
            archived: row.archived,
            pinned_ms: row.pinned_ms.map(until).transpose()?,
            marked_unread: row.marked_unread,
        },
    };
    let after = change.apply(before);
    if after != before {
        sqlx::query_file!(
            "queries/inbox/put_marks.sql",
            id,
            name,
            after.muted_until_ms.map(signed),
            after.archived,
            after.pinned_ms.map(signed),
            after.marked_unread
        )
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
        tx.commit().await.map_err(from_driver)?;
    }
    Ok(Some(after))
}
