//! Where devices stand in the logs.

use std::collections::BTreeMap;

use godwit_core::cursor::{Behind, Feed, Move};
use godwit_core::ids::{ConversationId, Identity, Seq};
use godwit_core::store::Error;
use godwit_core::stored::{self, ABOVE_HEAD, signed};
use uuid::Uuid;

use crate::error::from_driver;
use crate::sessions::hold;
use crate::{PostgresStore, column, limits, notices};

/// See [`godwit_core::store::Store::behind`].
pub(crate) async fn behind(
    store: &PostgresStore,
    device: &Identity,
    feed: Feed,
    after: Option<ConversationId>,
    limit: u32,
) -> Result<Vec<Behind>, Error> {
    let (user, device) = (device.user.as_str(), device.device.as_str());
    let (feed, after, limit) = (i16::from(feed.code()), after.map(column), i64::from(limit));
    let mut mended = false;
    loop {
        let rows =
            sqlx::query_file!("queries/cursors/behind.sql", user, device, feed, after, limit)
                .fetch_all(&mut *store.readers.take().await?)
                .await
                .map_err(from_driver)?;
        if !mended && rows.iter().any(|row| row.delivered_seq > row.head_seq) {
            let cursors = sqlx::query_file!("queries/cursors/mend.sql", user, device)
                .execute(&mut *store.pool.take().await?)
                .await
                .map_err(from_driver)?
                .rows_affected();
            tracing::warn!(user.id = user, device.id = device, cursors, "{ABOVE_HEAD}");
            mended = true;
            continue;
        }
        // What was cut a second time is mended by the next look.
        let rows = rows.into_iter().filter(|row| row.delivered_seq <= row.head_seq);
        return rows
            .map(|row| {
                Ok(Behind {
                    conversation: ConversationId(row.conversation_id.into_bytes()),
                    delivered_seq: stored::seq(row.delivered_seq)?,
                    head_seq: stored::seq(row.head_seq)?,
                })
            })
            .collect();
    }
}

impl PostgresStore {
    /// Takes every cursor, of devices and of users, that stands above the end of its log back to it;
    /// returns how many. After a
    /// restore, or a failover that lost commits, new entries would come below such a cursor and never
    /// be delivered. For the start; it looks at all conversations, by pages.
    pub async fn mend_cursors(&self) -> Result<u64, Error> {
        let (mut after, mut cursors) = (None, 0);
        loop {
            let page = self.bounded(self.mend_page(after)).await?;
            cursors += page.0;
            after = page.1;
            if after.is_none() {
                break;
            }
        }
        if cursors > 0 {
            tracing::warn!(cursors, "{ABOVE_HEAD}");
        }
        Ok(cursors)
    }

    async fn mend_page(&self, after: Option<Uuid>) -> Result<(u64, Option<Uuid>), Error> {
        let limit = limits::MEND_CONVERSATIONS;
        let row = sqlx::query_file!("queries/cursors/mend_all.sql", after, limit)
            .fetch_one(&mut *self.pool.take().await?)
            .await
            .map_err(from_driver)?;
        Ok((stored::unsigned("count", row.mended)?, row.next))
    }
}

/// Moves as arrays: each cursor once, with its highest place, in the order of the keys, so that
/// two batches cannot wait for each other in turn.
struct Columns<'a> {
    conversations: Vec<Uuid>,
    users: Vec<&'a str>,
    devices: Vec<&'a str>,
    feeds: Vec<i16>,
    seqs: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn of(moves: impl Iterator<Item = &'a Move>) -> Self {
        let mut highest: BTreeMap<(ConversationId, &str, &str, u8), Seq> = BTreeMap::new();
        for Move { device, mark } in moves {
            let names = (device.user.as_str(), device.device.as_str());
            let key = (mark.conversation, names.0, names.1, mark.feed.code());
            let seq = highest.entry(key).or_default();
            *seq = mark.seq.max(*seq);
        }
        Self {
            conversations: highest.keys().map(|key| column(key.0)).collect(),
            users: highest.keys().map(|key| key.1).collect(),
            devices: highest.keys().map(|key| key.2).collect(),
            feeds: highest.keys().map(|key| i16::from(key.3)).collect(),
            seqs: highest.values().map(|seq| signed(seq.0)).collect(),
        }
    }
}

/// See [`godwit_core::store::Store::move_cursors`].
///
/// One statement when all cursors stand already, which is nearly always; else a transaction that
/// makes those that are missing.
pub(crate) async fn advance(store: &PostgresStore, moves: &[Move]) -> Result<(), Error> {
    let (logs, others): (Vec<&Move>, Vec<&Move>) =
        moves.iter().partition(|cursor| cursor.mark.feed.is_log());
    if !others.is_empty() {
        let mut tx = store.begin().await?;
        notices::advance(&mut tx, &others).await?;
        tx.commit().await.map_err(from_driver)?;
    }
    if logs.is_empty() {
        return Ok(());
    }
    advance_logs(store, &logs).await
}

async fn advance_logs(store: &PostgresStore, moves: &[&Move]) -> Result<(), Error> {
    let c = Columns::of(moves.iter().copied());
    let missing = sqlx::query_file_scalar!(
        "queries/cursors/advance.sql",
        &c.conversations,
        &c.users as &[&str],
        &c.devices as &[&str],
        &c.feeds,
        &c.seqs
    )
    // To the end of the answer: Postgres commits after the last row.
    .fetch_all(&mut *store.pool.take().await?)
    .await
    .map_err(from_driver)?;
    if missing == [0] {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    let mut devices: Vec<&Identity> = moves.iter().map(|cursor| &cursor.device).collect();
    devices.sort();
    devices.dedup();
    let kept = hold(&mut tx, &devices).await?;
    let held = moves.iter().copied().filter(|cursor| kept.binary_search(&cursor.device).is_ok());
    let c = Columns::of(held);
    sqlx::query_file!(
        "queries/cursors/insert.sql",
        &c.conversations,
        &c.users as &[&str],
        &c.devices as &[&str],
        &c.feeds,
        &c.seqs
    )
    .execute(&mut *tx)
    .await
    .map_err(from_driver)?;
    tx.commit().await.map_err(from_driver)
}
