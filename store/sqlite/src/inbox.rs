//! A user's inbox: pages of it, and the user's own marks.

use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, UserId};
use godwit_core::inbox::{
    Badge, Checked, InboxPage, InboxQuery, Inboxes, Marks, MarksChange, Moment,
};
use godwit_core::limits::{
    BADGE_ENTRIES_MAX, BADGE_SCAN_MAX, MENTIONS_COUNTED_MAX, UNREAD_BLOCKS_MAX, UNREAD_SCAN_MAX,
};
use godwit_core::receipt::{Receipt, Report, Verdict};
use godwit_core::store::{Error, Pending};
use godwit_core::stored::{self, ABOVE_HEAD, EntryColumns, ItemColumns, marks, signed};

use crate::SqliteStore;
use crate::error::from_driver;
use crate::{check, log, moves, receipts};

impl Inboxes for SqliteStore {
    fn inbox<'a>(&'a self, user: &'a UserId, query: &'a InboxQuery) -> Pending<'a, InboxPage> {
        Box::pin(page(self, user, query))
    }

    fn badge<'a>(&'a self, user: &'a UserId, now_ms: u64) -> Pending<'a, Badge> {
        Box::pin(badge(self, user, now_ms))
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
    stands: bool,
    now_number: i64,
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

/// See [`Inboxes::inbox`].
async fn page(store: &SqliteStore, user: &UserId, query: &InboxQuery) -> Result<InboxPage, Error> {
    let (name, limit) = (user.as_str(), query.rows());
    // Every id is above the empty blob and below seventeen bytes of 0xff.
    let (lowest, highest) = query
        .only
        .map_or_else(|| (Vec::new(), vec![0xff; 17]), |id| (id.0.to_vec(), id.0.to_vec()));
    let (archived, begin) = (query.archived(), query.begin());
    let place = begin.map(|begin| begin.place);
    let (stands, pinned) = (place.map(|place| place.stands), place.map(|place| place.pinned));
    let active_ms = place.map(|place| signed(place.active_ms));
    let id = place.map(|place| place.conversation.0.to_vec());
    let end = begin.map(|begin| signed(begin.moment.end));
    let now_ms = signed(query.now_ms);
    let rows = sqlx::query_file_as!(
        Row,
        "queries/inbox/page.sql",
        name,
        lowest,
        highest,
        archived,
        stands,
        pinned,
        active_ms,
        id,
        limit,
        end,
        UNREAD_SCAN_MAX,
        now_ms,
        UNREAD_BLOCKS_MAX,
        MENTIONS_COUNTED_MAX
    )
    .fetch_all(&mut *store.reader().await?)
    .await
    .map_err(from_driver)?;
    let number = rows.first().map_or(0, |row| row.now_number);
    let now = Moment::new(stored::unsigned("number", number)?, Vec::new());
    let rows: Vec<ItemColumns> = rows.into_iter().map(Row::columns).collect::<Result<_, _>>()?;
    let ahead = rows.iter().filter(|row| row.is_ahead());
    mend(store, user, ahead.map(|row| row.conversation).collect()).await?;
    let rows = rows.into_iter().map(ItemColumns::item).collect::<Result<_, _>>()?;
    Ok(InboxPage::of(query, rows, now))
}

/// Takes cursors that stand above the end of their logs back to it.
async fn mend(
    store: &SqliteStore,
    user: &UserId,
    conversations: Vec<ConversationId>,
) -> Result<(), Error> {
    if conversations.is_empty() {
        return Ok(());
    }
    let (mut tx, mut cursors) = (store.begin().await?, 0);
    for conversation in conversations {
        let id = &conversation.0[..];
        cursors += sqlx::query_file!("queries/inbox/mend.sql", id)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?
            .rows_affected();
    }
    tx.commit().await?;
    tracing::warn!(user.id = %user, cursors, "{ABOVE_HEAD}");
    Ok(())
}

/// See [`Inboxes::badge`].
async fn badge(store: &SqliteStore, user: &UserId, now_ms: u64) -> Result<Badge, Error> {
    let (name, now_ms) = (user.as_str(), signed(now_ms));
    let row = sqlx::query_file!(
        "queries/inbox/badge.sql",
        name,
        now_ms,
        BADGE_SCAN_MAX,
        UNREAD_SCAN_MAX,
        BADGE_ENTRIES_MAX,
        UNREAD_BLOCKS_MAX,
        MENTIONS_COUNTED_MAX
    )
    .fetch_one(&mut *store.reader().await?)
    .await
    .map_err(from_driver)?;
    Ok(Badge {
        unread: stored::unsigned("count", row.unread)?,
        mentions: stored::unsigned("count", row.mentions)?,
        conversations: stored::unsigned("count", row.conversations)?,
    })
}

impl Row {
    fn columns(mut self) -> Result<ItemColumns, Error> {
        let conversation = stored::conversation_id(&self.id)?;
        Ok(ItemColumns {
            conversation,
            preview: self.take_preview(conversation)?,
            kind: self.kind,
            title: self.title,
            peer: self.peer,
            members: self.members,
            head_seq: self.head_seq,
            head_chain: self.head_chain,
            group_version: self.group_version,
            role: self.role,
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

    fn take_preview(&mut self, conversation: ConversationId) -> Result<Option<Entry>, Error> {
        let Some(seq) = self.seq else { return Ok(None) };
        let columns = EntryColumns {
            seq,
            message_id: log::whole(self.message_id.take())?,
            kind: log::whole(self.entry_kind)?,
            sender: log::whole(self.sender.take())?,
            device: log::whole(self.device.take())?,
            time_ms: log::whole(self.time_ms)?,
            chain: log::whole(self.chain.take())?,
            reply_to: self.reply_to,
            target_seq: self.target_seq,
            mentions: self.named.take(),
            number: log::whole(self.number)?,
            expires_ms: self.expires_ms,
            body_gone: log::whole(self.body_gone)?,
            body: log::whole(self.body.take())?,
        };
        columns.entry(conversation).map(Some)
    }
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
        let moves = (after.archived, after.pinned_ms) != (before.archived, before.pinned_ms);
        let moved = if moves { moves::number(&mut tx).await? } else { None };
        sqlx::query_file!(
            "queries/inbox/put_marks.sql",
            id,
            name,
            muted,
            archived,
            pinned,
            unread,
            moved
        )
        .execute(&mut *tx)
        .await
        .map_err(from_driver)?;
        tx.commit().await?;
    }
    Ok(Some(after))
}
