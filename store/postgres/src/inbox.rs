//! Inboxes: pages of a user's conversations, and the user's own marks.

use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, UserId};
use godwit_core::inbox::{
    Badge, Checked, InboxPage, InboxQuery, Inboxes, Marks, MarksChange, Moment,
};
use godwit_core::limits::{
    BADGE_ENTRIES_MAX, BADGE_SCAN_MAX, MENTIONS_COUNTED_MAX, MOMENT_OPEN_MAX, UNREAD_BLOCKS_MAX,
    UNREAD_SCAN_MAX,
};
use godwit_core::receipt::{Receipt, Report, Verdict};
use godwit_core::store::{Error, Pending};
use godwit_core::stored::{self, ABOVE_HEAD, ItemColumns, marks, signed};
use uuid::Uuid;

use crate::error::from_driver;
use crate::log::EntryRow;
use crate::{PostgresStore, check, column, hold, log, receipts};

impl Inboxes for PostgresStore {
    fn inbox<'a>(&'a self, user: &'a UserId, query: &'a InboxQuery) -> Pending<'a, InboxPage> {
        self.bounded(page(self, user, query))
    }

    fn badge<'a>(&'a self, user: &'a UserId, now_ms: u64) -> Pending<'a, Badge> {
        self.bounded(badge(self, user, now_ms))
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
    stands: bool,
    now_number: i64,
    now_open: Option<Vec<i64>>,
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

/// So many open transactions are read: one more than are carried, to see that there are more.
const OPEN_TOLD: i64 = MOMENT_OPEN_MAX as i64 + 1;

impl Row {
    /// When the page was read.
    fn moment(&self) -> Result<Moment, Error> {
        let open = self.now_open.iter().flatten();
        let open =
            open.map(|number| stored::unsigned("number", *number)).collect::<Result<_, _>>()?;
        Ok(Moment::new(stored::unsigned("number", self.now_number)?, open))
    }

    fn columns(mut self) -> Result<ItemColumns, Error> {
        let conversation = ConversationId(self.id.into_bytes());
        Ok(ItemColumns {
            conversation,
            preview: self.take_preview().map(|row| row.entry(conversation)).transpose()?,
            kind: i64::from(self.kind),
            title: self.title,
            peer: self.peer,
            members: self.members,
            head_seq: self.head_seq,
            head_chain: self.head_chain,
            group_version: self.group_version,
            role: i64::from(self.role),
            tag: self.tag,
            visible_seq: self.visible_seq,
            active_ms: self.active_ms,
            unread: self.unread,
            mentions: self.mentions,
            delivered_seq: self.delivered_seq,
            read_seq: self.read_seq,
            muted_until_ms: self.muted_until_ms,
            archived: self.archived,
            pinned_ms: self.pinned_ms,
            marked_unread: self.marked_unread,
            stands: self.stands,
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

/// See [`Inboxes::inbox`].
async fn page(
    store: &PostgresStore,
    user: &UserId,
    query: &InboxQuery,
) -> Result<InboxPage, Error> {
    let (first, last) = match query.only {
        Some(only) => (column(only), column(only)),
        None => (Uuid::nil(), Uuid::max()),
    };
    let begin = query.begin();
    let place = begin.map(|begin| begin.place);
    let open = begin.map_or(&[][..], |begin| &begin.moment.open);
    let open: Vec<i64> = open.iter().map(|number| signed(*number)).collect();
    let rows = sqlx::query_file_as!(
        Row,
        "queries/inbox/page.sql",
        user.as_str(),
        first,
        last,
        query.archived(),
        place.map(|place| place.stands),
        place.map(|place| place.pinned),
        place.map(|place| signed(place.active_ms)),
        place.map(|place| column(place.conversation)),
        i64::from(query.rows()),
        begin.map(|begin| signed(begin.moment.end)),
        &open[..],
        i64::from(UNREAD_SCAN_MAX),
        signed(query.now_ms),
        i64::from(UNREAD_BLOCKS_MAX),
        i64::from(MENTIONS_COUNTED_MAX),
        OPEN_TOLD
    )
    .fetch_all(&mut *store.readers.take().await?)
    .await
    .map_err(from_driver)?;
    let now = rows.first().map_or_else(|| Ok(Moment::default()), Row::moment)?;
    let rows: Vec<ItemColumns> = rows.into_iter().map(Row::columns).collect::<Result<_, _>>()?;
    let ahead = rows.iter().filter(|row| row.is_ahead());
    mend(store, user, ahead.map(|row| column(row.conversation)).collect()).await?;
    let rows = rows.into_iter().map(ItemColumns::item).collect::<Result<_, _>>()?;
    Ok(InboxPage::of(query, rows, now))
}

/// Takes cursors that stand above the end of their logs back to it.
async fn mend(store: &PostgresStore, user: &UserId, conversations: Vec<Uuid>) -> Result<(), Error> {
    if conversations.is_empty() {
        return Ok(());
    }
    let cursors = sqlx::query_file!("queries/inbox/mend.sql", &conversations)
        .execute(&mut *store.pool.take().await?)
        .await
        .map_err(from_driver)?
        .rows_affected();
    tracing::warn!(user.id = %user, cursors, "{ABOVE_HEAD}");
    Ok(())
}

/// See [`Inboxes::badge`].
async fn badge(store: &PostgresStore, user: &UserId, now_ms: u64) -> Result<Badge, Error> {
    let row = sqlx::query_file!(
        "queries/inbox/badge.sql",
        user.as_str(),
        signed(now_ms),
        i64::from(BADGE_SCAN_MAX),
        i64::from(UNREAD_SCAN_MAX),
        i64::from(BADGE_ENTRIES_MAX),
        i64::from(UNREAD_BLOCKS_MAX),
        i64::from(MENTIONS_COUNTED_MAX)
    )
    .fetch_one(&mut *store.readers.take().await?)
    .await
    .map_err(from_driver)?;
    Ok(Badge {
        unread: stored::unsigned("count", row.unread)?,
        mentions: stored::unsigned("count", row.mentions)?,
        conversations: stored::unsigned("count", row.conversations)?,
    })
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
        Some(row) => marks(row.muted_until_ms, row.archived, row.pinned_ms, row.marked_unread)?,
    };
    let after = change.apply(before);
    if after != before {
        let moves = (after.archived, after.pinned_ms) != (before.archived, before.pinned_ms);
        sqlx::query_file!(
            "queries/inbox/put_marks.sql",
            id,
            name,
            after.muted_until_ms.map(signed),
            after.archived,
            after.pinned_ms.map(signed),
            after.marked_unread,
            moves
        )
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
        tx.commit().await.map_err(from_driver)?;
    }
    Ok(Some(after))
}
