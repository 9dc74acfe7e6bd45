//! What is stored beside the log against what the log says.

use godwit_core::ids::ConversationId;
use godwit_core::inbox::{Checked, Difference};
use godwit_core::store::Error;
use godwit_core::stored;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use crate::connect::Write;
use crate::error::from_driver;
use crate::limits::MENTION_DIFFERENCES_MAX;
use crate::pack::Pack;
use crate::{SqliteStore, moves};

/// A conversation's own values, as stored and as its log says.
struct HeadRow {
    id: Vec<u8>,
    number: i64,
    active_seq: i64,
    active_ms: i64,
    counted: i64,
    last_seq: i64,
    last_ms: i64,
}

/// See [`godwit_core::inbox::Inboxes::check_inboxes`].
pub(crate) async fn check(
    store: &SqliteStore,
    after: Option<ConversationId>,
    limit: u32,
    repair: bool,
) -> Result<Checked, Error> {
    // A reader's transaction sees one moment and lets others write.
    let mut write: Option<Write> = None;
    let mut read: Option<Transaction<'_, Sqlite>> = None;
    let tx: &mut SqliteConnection = if repair {
        &mut *write.insert(store.begin().await?)
    } else {
        &mut *read.insert(store.begin_reading().await?)
    };
    // Every id is above the empty blob.
    let after = after.map(|id| id.0.to_vec()).unwrap_or_default();
    let heads = sqlx::query_file_as!(HeadRow, "queries/conversations/check.sql", after, limit)
        .fetch_all(&mut *tx)
        .await
        .map_err(from_driver)?;
    let mut checked = Checked { conversations: heads.len() as u64, ..Checked::default() };
    let full = u32::try_from(heads.len()).is_ok_and(|count| count == limit);
    for head in heads {
        let mut one = One { id: stored::conversation_id(&head.id)?, repair, told: Vec::new() };
        one.numbers(tx).await?;
        one.head(tx, &head).await?;
        one.mentions(tx).await?;
        one.cursors(tx).await?;
        checked.next = full.then_some(one.id);
        checked.differences.append(&mut one.told);
    }
    if let Some(write) = write {
        write.commit().await?;
    }
    Ok(checked)
}

/// The check of one conversation.
struct One {
    id: ConversationId,
    repair: bool,
    told: Vec<Difference>,
}

impl One {
    fn tell(
        &mut self,
        user: Option<&str>,
        field: &'static str,
        stored: String,
        computed: String,
    ) -> Result<(), Error> {
        let user = user.map(stored::user).transpose()?;
        self.told.push(Difference { conversation: self.id, user, field, stored, computed });
        Ok(())
    }

    /// The entries' numbers.
    async fn numbers(&mut self, connection: &mut SqliteConnection) -> Result<(), Error> {
        let id = &self.id.0[..];
        let row = sqlx::query_file!("queries/messages/check_numbers.sql", id)
            .fetch_optional(&mut *connection)
            .await
            .map_err(from_driver)?;
        let Some(row) = row else { return Ok(()) };
        let (number, counted) = (row.number, row.counted);
        if self.repair {
            sqlx::query_file!("queries/messages/mend_numbers.sql", id)
                .execute(connection)
                .await
                .map_err(from_driver)?;
        }
        // The first of them stands for all: one that is wrong makes those after it wrong, too.
        self.tell(None, "number", number.to_string(), counted.to_string())
    }

    /// The conversation's own values.
    async fn head(
        &mut self,
        connection: &mut SqliteConnection,
        row: &HeadRow,
    ) -> Result<(), Error> {
        let before = self.told.len();
        for (field, stored, computed) in [
            ("number", row.number, row.counted),
            ("active_seq", row.active_seq, row.last_seq),
            ("active_ms", row.active_ms, row.last_ms),
        ] {
            if stored != computed {
                self.tell(None, field, stored.to_string(), computed.to_string())?;
            }
        }
        if self.repair && self.told.len() > before {
            let (id, number, seq, ms) = (&self.id.0[..], row.counted, row.last_seq, row.last_ms);
            let moved = moves::number(connection).await?;
            sqlx::query_file!("queries/conversations/mend.sql", id, number, seq, ms, moved)
                .execute(connection)
                .await
                .map_err(from_driver)?;
        }
        Ok(())
    }

    /// Who is mentioned where. All is mended, but only so many differences are told.
    async fn mentions(&mut self, connection: &mut SqliteConnection) -> Result<(), Error> {
        let (key, limit) = (self.id.0.to_vec(), MENTION_DIFFERENCES_MAX);
        loop {
            let rows = sqlx::query_file!("queries/mentions/check.sql", key, limit)
                .fetch_all(&mut *connection)
                .await
                .map_err(from_driver)?;
            let (mut lacking, mut extra) = (Pack::new(), Pack::new());
            for row in &rows {
                let pack = if row.due { &mut lacking } else { &mut extra };
                pack.mention(self.id, &stored::user(&row.user_id)?, stored::seq(row.seq)?);
                if self.told.len() < MENTION_DIFFERENCES_MAX as usize {
                    let (at, none) = (format!("at entry {}", row.seq), "none".to_owned());
                    let (stored, computed) = if row.due { (none, at) } else { (at, none) };
                    self.tell(Some(&row.user_id), "mentions", stored, computed)?;
                }
            }
            if !self.repair || rows.is_empty() {
                return Ok(());
            }
            mend_mentions(connection, lacking, extra).await?;
        }
    }

    /// Cursors beyond the head.
    async fn cursors(&mut self, connection: &mut SqliteConnection) -> Result<(), Error> {
        let id = &self.id.0[..];
        let rows = sqlx::query_file!("queries/inbox/check.sql", id)
            .fetch_all(&mut *connection)
            .await
            .map_err(from_driver)?;
        if self.repair && !rows.is_empty() {
            sqlx::query_file!("queries/inbox/mend.sql", id)
                .execute(connection)
                .await
                .map_err(from_driver)?;
        }
        for row in rows {
            let head = row.head_seq;
            let user = Some(row.user_id.as_str());
            for (field, at) in [("delivered_seq", row.delivered_seq), ("read_seq", row.read_seq)] {
                if at > head {
                    self.tell(user, field, at.to_string(), head.to_string())?;
                }
            }
        }
        Ok(())
    }
}

async fn mend_mentions(
    connection: &mut SqliteConnection,
    lacking: Pack,
    extra: Pack,
) -> Result<(), Error> {
    let (rows, blob) = lacking.finish();
    sqlx::query_file!("queries/mentions/append.sql", rows, blob)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    let (rows, blob) = extra.finish();
    sqlx::query_file!("queries/mentions/remove.sql", rows, blob)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}
