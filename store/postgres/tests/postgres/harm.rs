//! Damage, written past the store.

use godwit_core::conformance::damage::{Damage, Harm};
use godwit_core::conformance::support::Task;
use godwit_core::ids::ConversationId;

use crate::Fresh;

/// A conversation's id as Postgres writes it.
pub(crate) fn uuid(id: ConversationId) -> String {
    let hex: String = id.0.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("'{hex}'::uuid")
}

fn statement(damage: Damage) -> String {
    match damage {
        Damage::Head { conversation, number, active_seq, active_ms } => format!(
            "UPDATE conversations
             SET number = {number}, active_seq = {active_seq}, active_ms = {active_ms}
             WHERE id = {}",
            uuid(conversation)
        ),
        Damage::EntryNumber { conversation, seq, number } => format!(
            "UPDATE messages SET number = {number} WHERE conversation_id = {} AND seq = {seq}",
            uuid(conversation)
        ),
        Damage::Mention { conversation, user, seq } => format!(
            "INSERT INTO mentions (conversation_id, user_id, seq)
             VALUES ({}, '{user}', {seq})",
            uuid(conversation)
        ),
        Damage::NoMentions { conversation } => {
            format!("DELETE FROM mentions WHERE conversation_id = {}", uuid(conversation))
        }
        Damage::Cursors { conversation, user, delivered, read } => format!(
            "INSERT INTO inbox (
                 conversation_id, user_id, delivered_seq, read_seq, archived, marked_unread
             )
             VALUES ({}, '{user}', {delivered}, {read}, false, false)
             ON CONFLICT (conversation_id, user_id)
             DO UPDATE SET delivered_seq = {delivered}, read_seq = {read}",
            uuid(conversation)
        ),
        Damage::Blocks { user, count } => format!(
            "INSERT INTO blocks (user_id, other_id, created_ms)
             SELECT '{user}', 'x' || i, 0 FROM generate_series(0, {count} - 1) AS i"
        ),
    }
}

impl Harm for Fresh {
    fn harm(&self, damage: Damage) -> Task<'_, ()> {
        Box::pin(async move {
            let _ = self.database.ask(&statement(damage));
        })
    }
}
