//! What a batch touches, read by one statement; by a second one when a send is about a message.

use godwit_core::commit::{
    Earlier, Fingerprint, Head, Loaded, Send as SendRequest, Standing, Target,
};
use godwit_core::limits::REPEATS_COUNTED;
use godwit_core::store::Error;
use godwit_core::stored::{self, signed};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::column;
use crate::error::from_driver;

/// Reads heads, senders, earlier keys and targets. The heads come first: what is read after them
/// stands if they still do when the plan is written.
pub(super) async fn load(
    connection: &mut PgConnection,
    batch: &[SendRequest],
) -> Result<Loaded, Error> {
    let ids: Vec<Uuid> = batch.iter().map(|send| column(send.conversation)).collect();
    let users: Vec<&str> = batch.iter().map(|send| send.from.user.as_str()).collect();
    let devices: Vec<&str> = batch.iter().map(|send| send.from.device.as_str()).collect();
    let keys: Vec<String> = batch.iter().map(|send| send.key.to_stored()).collect();
    let rows = sqlx::query_file_as!(
        Row,
        "queries/conversations/load.sql",
        &ids,
        &users as &[&str],
        &devices as &[&str],
        &keys
    )
    .fetch_all(&mut *connection)
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
        if let Some(head) = row.head()? {
            loaded.heads.insert(id, head);
        }
        if let Some(standing) = row.standing()? {
            loaded.members.insert((id, send.from.user.clone()), standing);
        }
        if let (Some(message_id), Some(seq)) = (row.message_id, row.seq) {
            let message_id = stored::message_id(message_id.as_bytes())?;
            let (seq, fingerprint) = (stored::seq(seq)?, row.fingerprint.map(Fingerprint));
            let first = Earlier { message_id, seq, fingerprint };
            loaded.earlier.insert((id, send.from.clone(), key.clone()), first);
        }
    }
    load_targets(connection, batch, &mut loaded).await?;
    Ok(loaded)
}

/// A row of `conversations/load`.
struct Row {
    place: i32,
    kind: Option<i16>,
    head_seq: Option<i64>,
    head_chain: Option<Vec<u8>>,
    group_version: Option<i64>,
    number: Option<i64>,
    active_seq: Option<i64>,
    active_ms: Option<i64>,
    expiry_s: Option<i64>,
    role: Option<i16>,
    visible_seq: Option<i64>,
    blocked: Option<bool>,
    message_id: Option<Uuid>,
    seq: Option<i64>,
    fingerprint: Option<i64>,
}

impl Row {
    /// `None`: there is no such conversation.
    fn head(&self) -> Result<Option<Head>, Error> {
        let (Some(kind), Some(seq), Some(chain), Some(version)) =
            (self.kind, self.head_seq, &self.head_chain, self.group_version)
        else {
            return Ok(None);
        };
        let (Some(number), Some(active_seq), Some(active_ms)) =
            (self.number, self.active_seq, self.active_ms)
        else {
            return Err(stored::broken("head"));
        };
        Ok(Some(Head {
            seq: stored::seq(seq)?,
            chain: stored::chain(chain)?,
            group_version: stored::unsigned("group version", version)?,
            number: stored::unsigned("number", number)?,
            active: (stored::seq(active_seq)?, stored::unsigned("activity", active_ms)?),
            kind: stored::conversation_kind(i64::from(kind))?,
            expiry_s: stored::expiry_s(self.expiry_s)?,
        }))
    }

    /// `None`: the sender is no member.
    fn standing(&self) -> Result<Option<Standing>, Error> {
        let (Some(role), Some(visible_seq), Some(blocked)) =
            (self.role, self.visible_seq, self.blocked)
        else {
            return Ok(None);
        };
        let (role, visible_seq) = (stored::role(i64::from(role))?, stored::seq(visible_seq)?);
        Ok(Some(Standing { role, visible_seq, blocked }))
    }
}

/// Reads what sends are about; nothing when all are plain messages.
async fn load_targets(
    connection: &mut PgConnection,
    batch: &[SendRequest],
    loaded: &mut Loaded,
) -> Result<(), Error> {
    let (mut places, mut ids, mut seqs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut kinds, mut senders): (Vec<i16>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut since = Vec::new();
    for (place, send) in batch.iter().enumerate() {
        let Some(target) = send.act.target() else { continue };
        places.push(i64::try_from(place).unwrap_or(i64::MAX));
        ids.push(column(send.conversation));
        seqs.push(signed(target.0));
        kinds.push(i16::from(send.act.kind().code()));
        senders.push(send.from.user.as_str());
        since.push(signed(send.act.counted_since(send.time_ms)));
    }
    if places.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query_file!(
        "queries/messages/targets.sql",
        &places,
        &ids,
        &seqs,
        &kinds,
        &senders as &[&str],
        &since,
        i64::from(REPEATS_COUNTED)
    )
    .fetch_all(connection)
    .await
    .map_err(from_driver)?;
    for row in rows {
        let place = usize::try_from(row.place).map_err(|_| stored::broken("place"))?;
        let target = Target {
            kind: stored::entry_kind(i64::from(row.kind))?,
            sender: stored::user(&row.sender)?,
            time_ms: stored::unsigned("time", row.time_ms)?,
            expires_ms: row.expires_ms.map(|at| stored::unsigned("expiry", at)).transpose()?,
            gone: row.body_gone,
            repeats: u32::try_from(row.repeats).unwrap_or(u32::MAX),
            emptied: u32::try_from(row.emptied).unwrap_or(u32::MAX),
            named: row.named,
        };
        loaded.targets.insert(place, target);
    }
    Ok(())
}
