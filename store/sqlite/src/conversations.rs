//! Conversations and their members: created and read. How they change: `changes`.

use godwit_core::change::founded;
use godwit_core::commit::{SendKey, StoredKey};
use godwit_core::entry::ChainHash;
use godwit_core::ids::{ConversationId, Seq, UserId};
use godwit_core::membership::{
    Conversation, ConversationKind, Details, Founding, Left, Member, NewConversation, Stay, ordered,
};
use godwit_core::store::Error;
use godwit_core::stored::{self, ConversationColumns, LeftColumns, MemberColumns, signed};
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
    let mut tx = store.begin_first().await?;
    if let Some(made) = pair(&mut tx, new).await? {
        return Ok(made);
    }
    let (id, kind) = (&new.id.as_bytes()[..], new.kind.code());
    let (chain, created_ms) = (&ChainHash::ZERO.0[..], signed(new.time_ms));
    let (expiry_s, next_tag) = (new.details.expiry_s, new.members.len() as u64 + 1);
    let next_tag = signed(next_tag);
    let inserted = sqlx::query_file!(
        "queries/conversations/insert.sql",
        id,
        kind,
        chain,
        created_ms,
        expiry_s,
        next_tag
    )
    .execute(&mut *tx)
    .await
    .map_err(from_driver)?
    .rows_affected();
    if inserted > 0 {
        let members = first_members(&mut tx, new).await?;
        join(&mut tx, new.id, &members).await?;
        // The expiry stands on the conversation itself.
        if (Details { expiry_s: None, ..new.details.clone() }) != Details::default() {
            put_details(&mut tx, new.id, &new.details).await?;
        }
        if let Some(founding) = &new.founding {
            found(&mut tx, new, founding).await?;
        }
    }
    let created = get(&mut *tx, new.id).await?.ok_or_else(|| stored::broken("conversation"))?;
    tx.commit().await?;
    Ok(created)
}

/// Claims the pair of a new direct conversation; `Some`: it has one already, which is answered.
async fn pair(
    connection: &mut SqliteConnection,
    new: &NewConversation,
) -> Result<Option<Conversation>, Error> {
    let Some((low, high)) = new.pair() else { return Ok(None) };
    let id = &new.id.as_bytes()[..];
    let (low, high) = (low.as_str(), high.as_str());
    let claimed = sqlx::query_file!("queries/direct_pairs/claim.sql", low, high, id)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?
        .rows_affected();
    if claimed > 0 {
        return Ok(None);
    }
    let made = sqlx::query_file_scalar!("queries/direct_pairs/get.sql", low, high)
        .fetch_one(&mut *connection)
        .await
        .map_err(from_driver)?;
    let made = get(connection, stored::conversation_id(&made)?).await?;
    made.map(Some).ok_or_else(|| stored::broken("pair"))
}

/// See [`godwit_core::store::Store::direct`].
pub(crate) async fn direct(
    store: &SqliteStore,
    one: &UserId,
    other: &UserId,
) -> Result<Option<ConversationId>, Error> {
    let (low, high) = ordered(one, other);
    let (low, high) = (low.as_str(), high.as_str());
    sqlx::query_file_scalar!("queries/direct_pairs/get.sql", low, high)
        .fetch_optional(&mut *store.reader().await?)
        .await
        .map_err(from_driver)?
        .map(|id| stored::conversation_id(&id))
        .transpose()
}

/// Writes the first entry of a new conversation's log.
async fn found(
    connection: &mut SqliteConnection,
    new: &NewConversation,
    founding: &Founding,
) -> Result<(), Error> {
    let (entry, head) = founded(new, founding);
    let key = SendKey::Server(founding.message_id).to_stored();
    let entries = [(entry, StoredKey { text: key, fingerprint: None })];
    append(connection, &entries, &[(new.id, head)]).await
}

/// The members of a new conversation: tags count in the order given.
async fn first_members(
    connection: &mut SqliteConnection,
    new: &NewConversation,
) -> Result<Vec<Member>, Error> {
    let mut members: Vec<Member> = new
        .members
        .iter()
        .zip(1..)
        .map(|((user, role), tag)| Member {
            user: user.clone(),
            role: *role,
            joined_seq: Seq::ZERO,
            visible_seq: Seq::ZERO,
            tag,
            blocked: false,
        })
        .collect();
    if let (ConversationKind::Direct, [first, second]) = (new.kind, members.as_mut_slice()) {
        let (a, b) = (first.user.as_str(), second.user.as_str());
        let blocking = sqlx::query_file_scalar!("queries/blocks/between.sql", a, b)
            .fetch_all(connection)
            .await
            .map_err(from_driver)?;
        let blocks = |user: &UserId| blocking.iter().any(|name| name == user.as_str());
        (first.blocked, second.blocked) = (blocks(&second.user), blocks(&first.user));
    }
    Ok(members)
}

/// Adds members.
pub(crate) async fn join(
    connection: &mut SqliteConnection,
    conversation: ConversationId,
    members: &[Member],
) -> Result<(), Error> {
    let (id, rows) = (&conversation.as_bytes()[..], pack::members(members));
    sqlx::query_file!("queries/members/insert.sql", id, rows)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

/// Writes title, description and history setting.
pub(crate) async fn put_details(
    connection: &mut SqliteConnection,
    conversation: ConversationId,
    details: &Details,
) -> Result<(), Error> {
    let id = &conversation.as_bytes()[..];
    let (title, title_seq) = (&details.title, signed(details.title_seq.0));
    let (description, description_seq) = (&details.description, signed(details.description_seq.0));
    let (history, changed_seq) = (details.history.code(), signed(details.changed_seq.0));
    sqlx::query_file!(
        "queries/details/put.sql",
        id,
        title,
        title_seq,
        description,
        description_seq,
        history,
        changed_seq
    )
    .execute(connection)
    .await
    .map_err(from_driver)?;
    Ok(())
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
    let mut members = Vec::with_capacity(rows.len().saturating_sub(1));
    for row in rows {
        if let Some(user_id) = row.user_id {
            let columns = MemberColumns {
                user_id,
                role: whole(row.role)?,
                joined_seq: whole(row.joined_seq)?,
                visible_seq: whole(row.visible_seq)?,
                tag: whole(row.tag)?,
                blocked: whole(row.blocked)?,
            };
            members.push(columns.member()?);
            continue;
        }
        found = Some(ConversationColumns {
            id: whole(row.id)?,
            kind: whole(row.kind)?,
            head_seq: whole(row.head_seq)?,
            head_chain: whole(row.head_chain)?,
            group_version: whole(row.group_version)?,
            number: whole(row.number)?,
            active_seq: whole(row.active_seq)?,
            active_ms: whole(row.active_ms)?,
            expiry_s: row.expiry_s,
            next_tag: whole(row.next_tag)?,
            history: whole(row.history)?,
            title: whole(row.title)?,
            title_seq: whole(row.title_seq)?,
            description: whole(row.description)?,
            description_seq: whole(row.description_seq)?,
            changed_seq: whole(row.changed_seq)?,
        });
    }
    found.map(|columns| columns.conversation(members)).transpose()
}

/// A column that its half of the rows always has.
fn whole<T>(column: Option<T>) -> Result<T, Error> {
    column.ok_or_else(|| stored::broken("conversation"))
}

/// See [`godwit_core::store::Store::member`].
pub(crate) async fn member(
    executor: impl SqliteExecutor<'_>,
    id: ConversationId,
    user: &UserId,
) -> Result<Option<Member>, Error> {
    let (id, user) = (&id.as_bytes()[..], user.as_str());
    sqlx::query_file_as!(MemberColumns, "queries/members/one.sql", id, user)
        .fetch_optional(executor)
        .await
        .map_err(from_driver)?
        .map(MemberColumns::member)
        .transpose()
}

/// See [`godwit_core::store::Store::acquainted`].
pub(crate) async fn acquainted(
    store: &SqliteStore,
    user: &UserId,
    among: &[UserId],
) -> Result<Vec<UserId>, Error> {
    let (user, among) = (user.as_str(), pack::users(among));
    sqlx::query_file_scalar!("queries/members/acquainted.sql", user, among)
        .fetch_all(&mut *store.reader().await?)
        .await
        .map_err(from_driver)?
        .iter()
        .map(|other| stored::user(other))
        .collect()
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
    .fetch_all(&mut *store.reader().await?)
    .await
    .map_err(from_driver)?
    .into_iter()
    .map(|columns| columns.conversation(Vec::new()))
    .collect()
}

/// See [`godwit_core::store::Store::stays`].
pub(crate) async fn stays(
    store: &SqliteStore,
    id: ConversationId,
    after: Option<(Seq, UserId)>,
    limit: u32,
) -> Result<Vec<Stay>, Error> {
    let id = &id.as_bytes()[..];
    // Every place is above -1.
    let (joined, user) =
        after.map_or((-1, String::new()), |(seq, user)| (signed(seq.0), user.as_str().to_owned()));
    sqlx::query_file!("queries/members/stays.sql", id, joined, user, limit)
        .fetch_all(&mut *store.reader().await?)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|row| {
            let columns = MemberColumns {
                user_id: row.user_id,
                role: row.role,
                joined_seq: row.joined_seq,
                visible_seq: row.visible_seq,
                tag: row.tag,
                blocked: row.blocked,
            };
            columns.stay(row.left_seq)
        })
        .collect()
}

/// See [`godwit_core::store::Store::left`].
pub(crate) async fn left(
    store: &SqliteStore,
    user: &UserId,
    since_ms: u64,
    limit: u32,
) -> Result<Vec<Left>, Error> {
    let (user, since_ms) = (user.as_str(), signed(since_ms));
    sqlx::query_file_as!(LeftColumns, "queries/members/left.sql", user, since_ms, limit)
        .fetch_all(&mut *store.reader().await?)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(LeftColumns::left)
        .collect()
}
