//! Conversations and their members.

use godwit_core::change::founded;
use godwit_core::commit::{SendKey, StoredKey};
use godwit_core::entry::ChainHash;
use godwit_core::ids::{ConversationId, Seq, UserId};
use godwit_core::membership::{
    Conversation, ConversationKind, Details, Founding, Left, Member, NewConversation, Role, Stay,
    ordered,
};
use godwit_core::store::Error;
use godwit_core::stored::{self, ConversationColumns, LeftColumns, MemberColumns, signed};
use sqlx::{PgConnection, PgExecutor};

use crate::commit::{Found, Moved, append};
use crate::error::from_driver;
use crate::{PostgresStore, blocks, column};

/// See [`godwit_core::store::Store::create`].
pub(crate) async fn create(
    store: &PostgresStore,
    new: &NewConversation,
) -> Result<Conversation, Error> {
    let mut tx = store.begin_change().await?;
    if let Some(made) = pair(&mut tx, new).await? {
        return Ok(made);
    }
    let (id, kind) = (column(new.id), i16::from(new.kind.code()));
    let (chain, created_ms) = (&ChainHash::ZERO.0[..], signed(new.time_ms));
    let expiry_s = new.details.expiry_s.map(i64::from);
    let next_tag = 1 + i64::try_from(new.members.len()).unwrap_or(i64::MAX - 1);
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
        let blocked = match (new.kind, &new.members[..]) {
            (ConversationKind::Direct, [(one, _), (other, _)]) => {
                blocks::between(&mut tx, one, other).await?
            }
            _ => Vec::new(),
        };
        let joined = Join { at: Seq::ZERO, visible: Seq::ZERO, first_tag: 1 };
        let members: Vec<_> =
            new.members.iter().map(|(user, role)| (user, *role, blocked.contains(user))).collect();
        join(&mut tx, new.id, joined, &members).await?;
        if new.details != Details::default() {
            put_details(&mut tx, new.id, &new.details).await?;
        }
        if let Some(founding) = &new.founding {
            found(&mut tx, new, founding).await?;
        }
    }
    let created = get(&mut *tx, new.id).await?.ok_or_else(|| stored::broken("conversation"))?;
    tx.commit().await.map_err(from_driver)?;
    Ok(created)
}

/// Claims the pair of a new direct conversation; `Some`: it has one already, which is answered. The
/// hands of both are held first (see [`blocks`]): locks come before rows.
async fn pair(
    connection: &mut PgConnection,
    new: &NewConversation,
) -> Result<Option<Conversation>, Error> {
    let Some((low, high)) = new.pair() else { return Ok(None) };
    blocks::between(connection, low, high).await?;
    let (low, high) = (low.as_str(), high.as_str());
    let claimed = sqlx::query_file!("queries/direct_pairs/claim.sql", low, high, column(new.id))
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
    let made = get(connection, ConversationId(made.into_bytes())).await?;
    made.map(Some).ok_or_else(|| stored::broken("pair"))
}

/// See [`godwit_core::store::Store::direct`].
pub(crate) async fn direct(
    store: &PostgresStore,
    one: &UserId,
    other: &UserId,
) -> Result<Option<ConversationId>, Error> {
    let (low, high) = ordered(one, other);
    let found =
        sqlx::query_file_scalar!("queries/direct_pairs/get.sql", low.as_str(), high.as_str())
            .fetch_optional(&mut *store.readers.take().await?)
            .await
            .map_err(from_driver)?;
    Ok(found.map(|id| ConversationId(id.into_bytes())))
}

/// Writes the first entry of a new conversation's log.
async fn found(
    connection: &mut PgConnection,
    new: &NewConversation,
    founding: &Founding,
) -> Result<(), Error> {
    let (entry, head) = founded(new, founding);
    let key = SendKey::Server(founding.message_id).to_stored();
    let entries = [(entry, StoredKey { text: key, fingerprint: None })];
    let found = Found { seq: Seq::ZERO, group_version: 1, chain: ChainHash::ZERO };
    let moved = Moved { conversation: new.id, found, head };
    if append(connection, &entries, &[moved]).await? {
        return Ok(());
    }
    Err(stored::broken("head (of a new conversation)"))
}

/// Where users join, together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Join {
    pub(crate) at: Seq,
    pub(crate) visible: Seq,
    /// The first one's; the others' follow.
    pub(crate) first_tag: u32,
}

/// Begins stays: users with their roles, and whether they are blocked.
pub(crate) async fn join(
    connection: &mut PgConnection,
    conversation: ConversationId,
    joined: Join,
    members: &[(&UserId, Role, bool)],
) -> Result<(), Error> {
    let users: Vec<&str> = members.iter().map(|(user, ..)| user.as_str()).collect();
    let roles: Vec<i16> = members.iter().map(|(_, role, _)| i16::from(role.code())).collect();
    let blocked: Vec<bool> = members.iter().map(|(.., blocked)| *blocked).collect();
    sqlx::query_file!(
        "queries/members/insert.sql",
        column(conversation),
        signed(joined.at.0),
        signed(joined.visible.0),
        i64::from(joined.first_tag),
        &users as &[&str],
        &roles,
        &blocked
    )
    .execute(connection)
    .await
    .map_err(from_driver)?;
    Ok(())
}

/// Writes the row of details; the expiry stands in the head's.
pub(crate) async fn put_details(
    connection: &mut PgConnection,
    conversation: ConversationId,
    details: &Details,
) -> Result<(), Error> {
    sqlx::query_file!(
        "queries/details/put.sql",
        column(conversation),
        details.title,
        signed(details.title_seq.0),
        details.description,
        signed(details.description_seq.0),
        i16::from(details.history.code()),
        signed(details.changed_seq.0)
    )
    .execute(connection)
    .await
    .map_err(from_driver)?;
    Ok(())
}

/// See [`godwit_core::store::Store::conversation`].
pub(crate) async fn get(
    executor: impl PgExecutor<'_>,
    id: ConversationId,
) -> Result<Option<Conversation>, Error> {
    let row = sqlx::query_file!("queries/conversations/get.sql", column(id))
        .fetch_optional(executor)
        .await
        .map_err(from_driver)?;
    let Some(row) = row else { return Ok(None) };
    let columns = ConversationColumns {
        id: row.id.as_bytes().to_vec(),
        kind: i64::from(row.kind),
        head_seq: row.head_seq,
        head_chain: row.head_chain,
        group_version: row.group_version,
        number: row.number,
        active_seq: row.active_seq,
        active_ms: row.active_ms,
        expiry_s: row.expiry_s,
        next_tag: row.next_tag,
        history: i64::from(row.history),
        title: row.title,
        title_seq: row.title_seq,
        description: row.description,
        description_seq: row.description_seq,
        changed_seq: row.changed_seq,
    };
    let arrays = MemberArrays {
        users: row.users.unwrap_or_default(),
        roles: row.roles.unwrap_or_default(),
        joined_seqs: row.joined_seqs.unwrap_or_default(),
        visible_seqs: row.visible_seqs.unwrap_or_default(),
        tags: row.tags.unwrap_or_default(),
        blocked: row.blocked.unwrap_or_default(),
    };
    columns.conversation(arrays.members()?).map(Some)
}

/// Members as columns, one array each.
struct MemberArrays {
    users: Vec<String>,
    roles: Vec<i16>,
    joined_seqs: Vec<i64>,
    visible_seqs: Vec<i64>,
    tags: Vec<i64>,
    blocked: Vec<bool>,
}

impl MemberArrays {
    fn members(self) -> Result<Vec<Member>, Error> {
        let seqs = self.joined_seqs.into_iter().zip(self.visible_seqs);
        let rest = self.roles.into_iter().zip(self.tags).zip(self.blocked);
        self.users
            .into_iter()
            .zip(seqs)
            .zip(rest)
            .map(|((user_id, (joined_seq, visible_seq)), ((role, tag), blocked))| {
                let role = i64::from(role);
                MemberColumns { user_id, role, joined_seq, visible_seq, tag, blocked }.member()
            })
            .collect()
    }
}

/// See [`godwit_core::store::Store::stays`].
pub(crate) async fn stays(
    store: &PostgresStore,
    id: ConversationId,
    after: Option<(Seq, UserId)>,
    limit: u32,
) -> Result<Vec<Stay>, Error> {
    let (seq, user) = match &after {
        Some((seq, user)) => (Some(signed(seq.0)), Some(user.as_str())),
        None => (None, None),
    };
    let id = column(id);
    sqlx::query_file!("queries/members/stays.sql", id, seq, user, i64::from(limit))
        .fetch_all(&mut *store.readers.take().await?)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|row| {
            let columns = MemberColumns {
                user_id: row.user_id,
                role: i64::from(row.role),
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
    store: &PostgresStore,
    user: &UserId,
    since_ms: u64,
    limit: u32,
) -> Result<Vec<Left>, Error> {
    let (user, since_ms) = (user.as_str(), signed(since_ms));
    sqlx::query_file!("queries/members/left.sql", user, since_ms, i64::from(limit))
        .fetch_all(&mut *store.readers.take().await?)
        .await
        .map_err(from_driver)?
        .into_iter()
        .map(|row| {
            let columns = LeftColumns {
                conversation_id: row.conversation_id.as_bytes().to_vec(),
                left_seq: row.left_seq,
                left_ms: row.left_ms,
                by_id: row.by_id,
                title: row.title,
            };
            columns.left()
        })
        .collect()
}

/// See [`godwit_core::store::Store::member`].
pub(crate) async fn member(
    executor: impl PgExecutor<'_>,
    id: ConversationId,
    user: &UserId,
) -> Result<Option<Member>, Error> {
    let row = sqlx::query_file!("queries/members/one.sql", column(id), user.as_str())
        .fetch_optional(executor)
        .await
        .map_err(from_driver)?;
    let Some(row) = row else { return Ok(None) };
    let columns = MemberColumns {
        user_id: row.user_id,
        role: i64::from(row.role),
        joined_seq: row.joined_seq,
        visible_seq: row.visible_seq,
        tag: row.tag,
        blocked: row.blocked,
    };
    columns.member().map(Some)
}

/// See [`godwit_core::store::Store::acquainted`].
pub(crate) async fn acquainted(
    store: &PostgresStore,
    user: &UserId,
    among: &[UserId],
) -> Result<Vec<UserId>, Error> {
    let among: Vec<&str> = among.iter().map(UserId::as_str).collect();
    sqlx::query_file_scalar!("queries/members/acquainted.sql", user.as_str(), &among as &[&str])
        .fetch_all(&mut *store.readers.take().await?)
        .await
        .map_err(from_driver)?
        .iter()
        .map(|other| stored::user(other))
        .collect()
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
        .fetch_all(&mut *store.readers.take().await?)
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
                number: row.number,
                active_seq: row.active_seq,
                active_ms: row.active_ms,
                expiry_s: row.expiry_s,
                next_tag: row.next_tag,
                history: i64::from(row.history),
                title: row.title,
                title_seq: row.title_seq,
                description: row.description,
                description_seq: row.description_seq,
                changed_seq: row.changed_seq,
            };
            columns.conversation(Vec::new())
        })
        .collect()
}
