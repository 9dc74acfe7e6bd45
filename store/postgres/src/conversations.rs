//! Conversations, their members, and pages of their logs.

use godwit_core::commit::{Head, SendKey};
use godwit_core::entry::{ChainHash, Entry};
use godwit_core::ids::{ConversationId, Identity, Seq, UserId};
use godwit_core::limits::MEMBERS_MAX;
use godwit_core::membership::{
    Change, ChangeRequest, Conversation, Direction, NewConversation, Refused, Role, apply, decide,
};
use godwit_core::store::{Error, Page};
use godwit_core::stored::{self, ConversationColumns, EntryColumns, signed};
use sqlx::{PgConnection, PgExecutor};

use crate::commit::{append, lock};
use crate::error::from_driver;
use crate::{PostgresStore, column};

/// See [`godwit_core::store::Store::create`].
pub(crate) async fn create(
    store: &PostgresStore,
    new: &NewConversation,
) -> Result<Conversation, Error> {
    let mut tx = store.begin().await?;
    let (id, kind) = (column(new.id), i16::from(new.kind.code()));
    let (chain, created_ms) = (&ChainHash::ZERO.0[..], signed(new.time_ms));
    let inserted =
        sqlx::query_file!("queries/conversations/insert.sql", id, kind, chain, created_ms)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?
            .rows_affected();
    if inserted > 0 {
        let members: Vec<(&UserId, Role)> = new.members.iter().map(|(u, r)| (u, *r)).collect();
        join(&mut tx, new.id, Seq::ZERO, &members).await?;
    }
    let created = get(&mut *tx, new.id).await?.ok_or_else(|| stored::broken("conversation"))?;
    tx.commit().await.map_err(from_driver)?;
    Ok(created)
}

async fn join(
    connection: &mut PgConnection,
    conversation: ConversationId,
    joined: Seq,
    members: &[(&UserId, Role)],
) -> Result<(), Error> {
    let users: Vec<&str> = members.iter().map(|(user, _)| user.as_str()).collect();
    let roles: Vec<i16> = members.iter().map(|(_, role)| i16::from(role.code())).collect();
    let (id, joined_seq) = (column(conversation), signed(joined.0));
    sqlx::query_file!("queries/members/insert.sql", id, joined_seq, &users as &[&str], &roles)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

/// See [`godwit_core::store::Store::change_members`].
pub(crate) async fn change_members(
    store: &PostgresStore,
    request: &ChangeRequest,
) -> Result<Result<(Entry, Conversation), Refused>, Error> {
    let mut tx = store.begin().await?;
    lock(&mut tx, std::iter::once(request.conversation)).await?;
    let Some(conversation) = get(&mut *tx, request.conversation).await? else {
        return Ok(Err(Refused::Unknown));
    };
    // The change's own key: a repeated one is told what the first did.
    let key = SendKey::Server(request.message_id).to_stored();
    let from = request.actor.clone().unwrap_or_else(Identity::operator);
    if let Some(entry) = by_key(&mut tx, request.conversation, &from, &key).await? {
        return Ok(Ok((entry, conversation)));
    }
    let change = match decide(&conversation, request, MEMBERS_MAX) {
        Ok(change) => change,
        Err(refused) => return Ok(Err(refused)),
    };
    let (entry, conversation) = apply(conversation, &change, request);
    move_members(&mut tx, conversation.id, entry.seq, &change).await?;
    let head = Head {
        seq: conversation.head_seq,
        chain: conversation.head_chain,
        group_version: conversation.group_version,
    };
    let entries = [(entry, key)];
    if !append(&mut tx, &entries, &[(conversation.id, head)]).await? {
        return Err(stored::broken("head (it moved under its lock)"));
    }
    tx.commit().await.map_err(from_driver)?;
    let [(entry, _)] = entries;
    Ok(Ok((entry, conversation)))
}

/// Begins or ends stays; the entry at `seq` tells of it.
async fn move_members(
    connection: &mut PgConnection,
    conversation: ConversationId,
    seq: Seq,
    change: &Change,
) -> Result<(), Error> {
    if change.direction == Direction::Added {
        let members: Vec<_> = change.users.iter().map(|user| (user, Role::Member)).collect();
        return join(connection, conversation, Seq(seq.0.saturating_sub(1)), &members).await;
    }
    let users: Vec<&str> = change.users.iter().map(UserId::as_str).collect();
    let (id, left_seq) = (column(conversation), signed(seq.0));
    sqlx::query_file!("queries/members/leave.sql", id, &users as &[&str], left_seq)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/cursors/leave.sql", id, &users as &[&str])
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

async fn by_key(
    connection: &mut PgConnection,
    conversation: ConversationId,
    from: &Identity,
    key: &str,
) -> Result<Option<Entry>, Error> {
    let id = column(conversation);
    let (user, device) = (from.user.as_str(), from.device.as_str());
    let row = sqlx::query_file!("queries/messages/by_key.sql", id, user, device, key)
        .fetch_optional(connection)
        .await
        .map_err(from_driver)?;
    let Some(row) = row else { return Ok(None) };
    let columns = EntryColumns {
        seq: row.seq,
        message_id: row.message_id.as_bytes().to_vec(),
        kind: i64::from(row.kind),
        sender: row.sender,
        device: row.device,
        time_ms: row.time_ms,
        chain: row.chain,
        reply_to: row.reply_to,
        expires_ms: row.expires_ms,
        body_gone: row.body_gone,
        body: row.body,
    };
    columns.entry(conversation).map(Some)
}

/// See [`godwit_core::store::Store::conversation`].
pub(crate) async fn get(
    executor: impl PgExecutor<'_>,
    id: ConversationId,
) -> Result<Option<Conversation>, Error> {
    let rows = sqlx::query_file!("queries/conversations/get.sql", column(id))
        .fetch_all(executor)
        .await
        .map_err(from_driver)?;
    let mut found = None;
    let mut members = Vec::with_capacity(rows.len());
    for row in rows {
        if let (Some(user), Some(role), Some(joined)) = (row.user_id, row.role, row.joined_seq) {
            members.push(stored::member(&user, i64::from(role), joined)?);
        }
        found = Some(ConversationColumns {
            id: row.id.as_bytes().to_vec(),
            kind: i64::from(row.kind),
            head_seq: row.head_seq,
            head_chain: row.head_chain,
            group_version: row.group_version,
        });
    }
    found.map(|columns| columns.conversation(members)).transpose()
}

/// See [`godwit_core::store::Store::conversations_of`].
pub(crate) async fn of_user(
    store: &PostgresStore,
    user: &UserId,
    after: Option<ConversationId>,
    limit: u32,
) -> Result<Vec<Conversation>, Error> {
    let (user, after, limit) = (user.as_str(), after.map(column), i64::from(limit));
    sqlx::query_file!("queries/conversations/of_user.sql", user, after, limit)
        .fetch_all(&store.pool)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|row| {
            let columns = ConversationColumns {
                id: row.id.as_bytes().to_vec(),
                kind: i64::from(row.kind),
                head_seq: row.head_seq,
                head_chain: row.head_chain,
                group_version: row.group_version,
            };
            columns.conversation(Vec::new())
        })
        .collect()
}

/// See [`godwit_core::store::Store::read_log`].
pub(crate) async fn read_log(
    store: &PostgresStore,
    id: ConversationId,
    after: Seq,
    limit: u32,
    bytes_max: usize,
) -> Result<Option<Page>, Error> {
    let (key, after, limit) = (column(id), signed(after.0), i64::from(limit));
    let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    let rows = sqlx::query_file!("queries/messages/page.sql", key, after, limit, bytes_max)
        .fetch_all(&store.pool)
        .await
        .map_err(from_driver)?;
    let mut page: Option<Page> = None;
    for row in rows {
        let head_seq = stored::seq(row.head_seq)?;
        let page = page.get_or_insert_with(|| Page { entries: Vec::new(), head_seq });
        // Only the row that stands for an empty page has no sequence; all others have all columns.
        let (Some(seq), Some(message_id), Some(kind), Some(sender), Some(device)) =
            (row.seq, row.message_id, row.kind, row.sender, row.device)
        else {
            continue;
        };
        let (Some(time_ms), Some(chain), Some(body_gone), Some(body)) =
            (row.time_ms, row.chain, row.body_gone, row.body)
        else {
            return Err(stored::broken("entry"));
        };
        let columns = EntryColumns {
            seq,
            message_id: message_id.as_bytes().to_vec(),
            kind: i64::from(kind),
            sender,
            device,
            time_ms,
            chain,
            reply_to: row.reply_to,
            expires_ms: row.expires_ms,
            body_gone,
            body,
        };
        page.entries.push(columns.entry(id)?);
    }
    Ok(page)
}
