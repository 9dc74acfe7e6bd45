//! Changes of members, roles and details: decided and written under SQLite's write lock.

use godwit_core::change::{Change, ChangeRequest, Refused, apply, decide, tellings};
use godwit_core::commit::{Fingerprint, Head, StoredKey};
use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, Identity, UserId};
use godwit_core::membership::{Conversation, Member, Role};
use godwit_core::store::Error;
use godwit_core::stored::{EntryColumns, signed};
use sqlx::SqliteConnection;

use crate::SqliteStore;
use crate::commit::append;
use crate::conversations::{get, join, member, put_details};
use crate::error::from_driver;
use crate::{notices, pack};

/// See [`godwit_core::store::Store::change`].
pub(crate) async fn change(
    store: &SqliteStore,
    request: &ChangeRequest,
) -> Result<Result<(Entry, Conversation), Refused>, Error> {
    let mut tx = store.begin_first().await?;
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
    let Some(conversation) = get(&mut *tx, request.conversation).await? else {
        return Ok(Err(Refused::Unknown));
    };
    if let Some(entry) = earlier {
        let first = asked_under(&mut tx, request.conversation, &from, &key).await?;
        return Ok(request.repeats(first).map(|()| (entry, conversation)));
    }
    let change = match decide(&conversation, request) {
        Ok(change) => change,
        Err(refused) => return Ok(Err(refused)),
    };
    let (entry, conversation) = apply(conversation, &change, request);
    write(&mut tx, &conversation, &change, &entry).await?;
    let head = Head::of(&conversation);
    let entries = [(entry, StoredKey { text: key, fingerprint: request.fingerprint() })];
    append(&mut tx, &entries, &[(conversation.id, head)]).await?;
    notices::put(&mut tx, &tellings(&change, &entries[0].0)).await?;
    tx.commit().await?;
    let [(entry, _)] = entries;
    Ok(Ok((entry, conversation)))
}

/// Writes what a change does beside its entry; `conversation` is the one after it.
async fn write(
    connection: &mut SqliteConnection,
    conversation: &Conversation,
    change: &Change,
    entry: &Entry,
) -> Result<(), Error> {
    match change {
        // It is the creation's own; nobody asks for it.
        Change::Created { .. } => Ok(()),
        Change::Added { users, .. } => {
            let new: Vec<Member> =
                users.iter().filter_map(|user| conversation.member(user).cloned()).collect();
            join(connection, conversation.id, &new).await?;
            configure(connection, conversation).await
        }
        Change::Removed { users, .. } => leave(connection, users, entry).await,
        Change::Roles { roles, .. } => set_roles(connection, conversation.id, roles).await,
        Change::Details(_) => {
            put_details(connection, conversation.id, &conversation.details).await?;
            configure(connection, conversation).await
        }
    }
}

/// Writes what stands on the conversation's row but is not moved by commits.
async fn configure(
    connection: &mut SqliteConnection,
    conversation: &Conversation,
) -> Result<(), Error> {
    let id = &conversation.id.as_bytes()[..];
    let (next_tag, expiry_s) = (conversation.next_tag, conversation.details.expiry_s);
    sqlx::query_file!("queries/conversations/configure.sql", id, next_tag, expiry_s)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

/// Ends stays, and forgets what belonged to them.
async fn leave(
    connection: &mut SqliteConnection,
    users: &[UserId],
    entry: &Entry,
) -> Result<(), Error> {
    let (id, users) = (&entry.conversation.as_bytes()[..], pack::users(users));
    let (left_seq, left_ms) = (signed(entry.seq.0), signed(entry.time_ms));
    sqlx::query_file!("queries/members/leave.sql", id, users, left_seq, left_ms)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/cursors/leave.sql", id, users)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/inbox/leave.sql", id, users)
        .execute(&mut *connection)
        .await
        .map_err(from_driver)?;
    sqlx::query_file!("queries/mentions/leave.sql", id, users)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

async fn set_roles(
    connection: &mut SqliteConnection,
    conversation: ConversationId,
    roles: &[(UserId, Role)],
) -> Result<(), Error> {
    let (id, roles) = (&conversation.as_bytes()[..], pack::roles(roles));
    sqlx::query_file!("queries/members/roles.sql", id, roles)
        .execute(connection)
        .await
        .map_err(from_driver)?;
    Ok(())
}

/// What an earlier request with this key did.
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

/// What was asked under the key of an earlier request, if that was noted.
async fn asked_under(
    connection: &mut SqliteConnection,
    conversation: ConversationId,
    from: &Identity,
    key: &str,
) -> Result<Option<Fingerprint>, Error> {
    let id = &conversation.as_bytes()[..];
    let (user, device) = (from.user.as_str(), from.device.as_str());
    let found = sqlx::query_file_scalar!("queries/messages/fingerprint.sql", id, user, device, key)
        .fetch_optional(connection)
        .await
        .map_err(from_driver)?;
    Ok(found.flatten().map(Fingerprint))
}
