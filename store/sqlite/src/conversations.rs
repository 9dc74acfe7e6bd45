//! Conversations, their members, and pages of their logs.

use godwit_core::commit::{Head, SendKey};
use godwit_core::entry::{ChainHash, Entry};
use godwit_core::ids::{ConversationId, Identity, Seq, UserId};
use godwit_core::limits::MEMBERS_MAX;
use godwit_core::membership::{
    ChangeRequest, Conversation, Direction, NewConversation, Refused, Role, apply, decide,
};
use godwit_core::store::{Error, Page};
use godwit_core::stored::{self, ConversationColumns, EntryColumns, signed};
use sqlx::{SqliteConnection, SqliteExecutor};

use crate::SqliteStore;
use crate::commit::append;
use crate::error::from_driver;
use crate::pack;

/// See [`godwit_core::store::Store::create`].
pub(crate) async fn create(
    store: &SqliteStore,
    new: &NewConversation,
) -> Result<Conversation, Error> {
    let mut tx = store.begin().await?;
    let (id, kind) = (&new.id.as_bytes()[..], new.kind.code());
    let (chain, created_ms) = (&ChainHash::ZERO.0[..], signed(new.time_ms));
    let inserted =
        sqlx::query_file!("queries/conversations/insert.sql", id, kind, chain, created_ms)
            .execute(&mut *tx)
            .await
            .map_err(from_driver)?
            .rows_affected();
    if inserted > 0 {
        for role in [Role::Owner, Role::Member] {
            let users: Vec<UserId> =
                new.members.iter().filter(|(_, r)| *r == role).map(|(u, _)| u.clone()).collect();
            join(&mut tx, new.id, &users, Seq::ZERO, role).await?;
        }
    }
    let created = get(&mut *tx, new.id).await?.ok_or_else(|| stored::broken("conversation"))?;
    tx.commit().await.map_err(from_driver)?;
    Ok(created)
}

async fn join(
    connection: &mut SqliteConnection,
    conversation: ConversationId,
    users: &[UserId],
    joined: Seq,
    role: Role,
) -> Result<(), Error> {
    let (id, users) = (&conversation.as_bytes()[..], pack::users(users));
    let (joined_seq, role) = (signed(joined.0), role.code());
    sqlx::query_file!("queries/members/insert.sql", id, users, joined_seq, role)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

/// See [`godwit_core::store::Store::change_members`].
pub(crate) async fn change_members(
    store: &SqliteStore,
    request: &ChangeRequest,
) -> Result<Result<(Entry, Conversation), Refused>, Error> {
    let mut tx = store.begin().await?;
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
    match change.direction {
        Direction::Added => {
            let joined = Seq(entry.seq.0.saturating_sub(1));
            join(&mut tx, conversation.id, &change.users, joined, Role::Member).await?;
        }
        Direction::Removed => {
            let (id, users) = (&conversation.id.as_bytes()[..], pack::users(&change.users));
            let left_seq = signed(entry.seq.0);
            sqlx::query_file!("queries/members/leave.sql", id, users, left_seq)
                .execute(&mut *tx)
                .await
                .map_err(from_driver)?;
            sqlx::query_file!("queries/cursors/leave.sql", id, users)
                .execute(&mut *tx)
                .await
                .map_err(from_driver)?;
        }
    }
    let head = Head {
        seq: conversation.head_seq,
        chain: conversation.head_chain,
        group_version: conversation.group_version,
    };
    let entries = [(entry, key)];
    append(&mut tx, &entries, &[(conversation.id, head)]).await?;
    tx.commit().await.map_err(from_driver)?;
    let [(entry, _)] = entries;
    Ok(Ok((entry, conversation)))
}

async fn by_key(
    connection: &mut SqliteConnection,
    conversation: ConversationId,
    from: &Identity,
    key: &str,
) -> Result<Option<Entry>, Error> {
    let id = &conversation.as_bytes()[..];
    let (user, device) = (from.user.as_str(), from.device.as_str());
    sqlx::query_file_as!(EntryColumns, "queries/messages/by_key.sql", id, user, device, key)
        .fetch_optional(connection)
        .await
        .map_err(from_driver)?
        .map(|columns| columns.entry(conversation))
        .transpose()
}

/// See [`godwit_core::store::Store::conversation`].
pub(crate) async fn get(
    executor: impl SqliteExecutor<'_>,
    id: ConversationId,
) -> Result<Option<Conversation>, Error> {
    let id = &id.as_bytes()[..];
    let rows = sqlx::query_file!("queries/conversations/get.sql", id)
        .fetch_all(executor)
        .await
        .map_err(from_driver)?;
    let mut found = None;
    let mut members = Vec::with_capacity(rows.len());
    for row in rows {
        if let (Some(user), Some(role), Some(joined)) = (row.user_id, row.role, row.joined_seq) {
            members.push(stored::member(&user, role, joined)?);
        }
        found = Some(ConversationColumns {
            id: row.id,
            kind: row.kind,
            head_seq: row.head_seq,
            head_chain: row.head_chain,
            group_version: row.group_version,
        });
    }
    found.map(|columns| columns.conversation(members)).transpose()
}

/// See [`godwit_core::store::Store::conversations_of`].
pub(crate) async fn of_user(
    store: &SqliteStore,
    user: &UserId,
    after: Option<ConversationId>,
    limit: u32,
) -> Result<Vec<Conversation>, Error> {
    let user = user.as_str();
    // Every id is above the empty blob.
    let after = after.map(|id| id.0.to_vec()).unwrap_or_default();
    sqlx::query_file_as!(
        ConversationColumns,
        "queries/conversations/of_user.sql",
        user,
        after,
        limit
    )
    .fetch_all(&store.readers)
    .await
    .map_err(from_driver)?
    .into_iter()
    .map(|columns| columns.conversation(Vec::new()))
    .collect()
}

/// See [`godwit_core::store::Store::read_log`].
pub(crate) async fn read_log(
    store: &SqliteStore,
    id: ConversationId,
    after: Seq,
    limit: u32,
    bytes_max: usize,
) -> Result<Option<Page>, Error> {
    let (key, after) = (&id.as_bytes()[..], signed(after.0));
    let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    let rows = sqlx::query_file!("queries/messages/page.sql", key, after, limit, bytes_max)
        .fetch_all(&store.readers)
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
        let (reply_to, expires_ms) = (row.reply_to, row.expires_ms);
        let columns = EntryColumns {
            seq,
            message_id,
            kind,
            sender,
            device,
            time_ms,
            chain,
            reply_to,
            expires_ms,
            body_gone,
            body,
        };
        page.entries.push(columns.entry(id)?);
    }
    Ok(page)
}
