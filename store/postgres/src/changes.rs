//! Changes of members, roles and details: decided and written under the conversation's lock.

use godwit_core::change::{Change, ChangeRequest, Refused, apply, decide, tellings};
use godwit_core::commit::{Fingerprint, Head, StoredKey};
use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, Identity, UserId};
use godwit_core::membership::Conversation;
use godwit_core::store::Error;
use godwit_core::stored::{self, signed};
use sqlx::PgConnection;

use crate::commit::{Found, Moved, append, lock};
use crate::conversations::{Join, get, join, member, put_details};
use crate::error::from_driver;
use crate::log::by_key;
use crate::{PostgresStore, column, hold, notices};

/// See [`godwit_core::store::Store::change`].
pub(crate) async fn change(
    store: &PostgresStore,
    request: &ChangeRequest,
) -> Result<Result<(Entry, Conversation), Refused>, Error> {
    let mut tx = store.begin_change().await?;
    lock(&mut tx, std::iter::once(request.conversation)).await?;
    // A repeated change is told what the first did.
    let key = request.key.to_stored();
    let from = request.actor.clone().unwrap_or_else(Identity::operator);
    let earlier = by_key(&mut tx, request.conversation, &from, &key).await?;
    if let (None, Some(actor)) = (&earlier, &request.actor)
        && member(&mut *tx, request.conversation, &actor.user).await?.is_none()
    {
        // A stranger learns it from one row, however many members there are.
        return Ok(Err(Refused::Unknown));
    }
    let Some(before) = get(&mut *tx, request.conversation).await? else {
        return Ok(Err(Refused::Unknown));
    };
    if let Some(entry) = earlier {
        let first = asked_under(&mut tx, request.conversation, &from, &key).await?;
        return Ok(request.repeats(first).map(|()| (entry, before)));
    }
    let change = match decide(&before, request) {
        Ok(change) => change,
        Err(refused) => return Ok(Err(refused)),
    };
    let found = Found::of(&Head::of(&before));
    let (entry, after) = apply(before, &change, request);
    write(&mut tx, &entry, &change, &after).await?;
    let entries = [(entry, StoredKey { text: key, fingerprint: request.fingerprint() })];
    let moved = Moved { conversation: after.id, found, head: Head::of(&after) };
    if !append(&mut tx, &entries, &[moved]).await? {
        return Err(stored::broken("head (it moved under its lock)"));
    }
    notices::put(&mut tx, &tellings(&change, &entries[0].0)).await?;
    tx.commit().await.map_err(from_driver)?;
    let [(entry, _)] = entries;
    Ok(Ok((entry, after)))
}

/// Writes what a change is besides its entry, which tells of it, and its head.
async fn write(
    connection: &mut PgConnection,
    entry: &Entry,
    change: &Change,
    after: &Conversation,
) -> Result<(), Error> {
    match change {
        // It is the creation's own; nobody asks for it.
        Change::Created { .. } => Ok(()),
        Change::Added { users, role, first_tag, .. } => {
            // All have joined at the same place and see the same.
            let seen = users.first().and_then(|user| after.member(user));
            let seen = seen.ok_or_else(|| stored::broken("member"))?;
            let joined =
                Join { at: seen.joined_seq, visible: seen.visible_seq, first_tag: *first_tag };
            let members: Vec<_> = users.iter().map(|user| (user, *role, false)).collect();
            join(connection, after.id, joined, &members).await?;
            set(connection, after).await
        }
        Change::Removed { users, .. } => leave(connection, entry, users).await,
        Change::Roles { roles, .. } => {
            let users: Vec<&str> = roles.iter().map(|(user, _)| user.as_str()).collect();
            let roles: Vec<i16> = roles.iter().map(|(_, role)| i16::from(role.code())).collect();
            let id = column(after.id);
            let conversations = vec![id; users.len()];
            let keys = hold::Keys { conversations: &conversations, users: &users };
            hold::members(connection, keys).await?;
            sqlx::query_file!("queries/members/roles.sql", id, &users as &[&str], &roles)
                .execute(connection)
                .await
                .map_err(from_driver)?;
            Ok(())
        }
        Change::Details(_) => {
            put_details(connection, after.id, &after.details).await?;
            set(connection, after).await
        }
    }
}

/// Writes what the head's row holds besides what every commit moves.
async fn set(connection: &mut PgConnection, after: &Conversation) -> Result<(), Error> {
    let expiry_s = after.details.expiry_s.map(i64::from);
    let (id, next_tag) = (column(after.id), i64::from(after.next_tag));
    sqlx::query_file!("queries/conversations/configure.sql", id, next_tag, expiry_s)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

/// Ends stays, and forgets what stood for them.
async fn leave(
    connection: &mut PgConnection,
    entry: &Entry,
    users: &[UserId],
) -> Result<(), Error> {
    let users: Vec<&str> = users.iter().map(UserId::as_str).collect();
    let (id, users) = (column(entry.conversation), &users[..]);
    let conversations = vec![id; users.len()];
    let keys = hold::Keys { conversations: &conversations, users };
    // The stays first: whoever makes a cursor or a mark holds them, so none comes after this.
    hold::members(connection, keys).await?;
    hold::inboxes(connection, keys).await?;
    let (left_seq, left_ms) = (signed(entry.seq.0), signed(entry.time_ms));
    sqlx::query_file!("queries/members/leave.sql", id, users as &[&str], left_seq, left_ms)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/cursors/leave.sql", id, users as &[&str])
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/inbox/leave.sql", id, users as &[&str])
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/mentions/leave.sql", id, users as &[&str])
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

/// What was asked under the key of an earlier request, if that was noted.
async fn asked_under(
    connection: &mut PgConnection,
    conversation: ConversationId,
    from: &Identity,
    key: &str,
) -> Result<Option<Fingerprint>, Error> {
    let (user, device) = (from.user.as_str(), from.device.as_str());
    let id = column(conversation);
    let found = sqlx::query_file_scalar!("queries/messages/fingerprint.sql", id, user, device, key)
        .fetch_optional(connection)
        .await
        .map_err(from_driver)?;
    Ok(found.flatten().map(Fingerprint))
}
