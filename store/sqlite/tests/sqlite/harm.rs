//! What another hand may have done to the file.

use godwit_core::conformance::damage::{Damage, Harm};
use godwit_core::conformance::support::{NOW, Task};
use godwit_core::ids::ConversationId;
use godwit_core::stored::signed;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use crate::Fresh;

/// A statement with its values, in the order of its parameters.
enum Value {
    Id(ConversationId),
    Number(u64),
    Text(String),
}

impl Harm for Fresh {
    fn harm(&self, damage: Damage) -> Task<'_, ()> {
        Box::pin(async move {
            let options = SqliteConnectOptions::new().filename(self.file());
            let mut other = SqliteConnection::connect_with(&options).await.unwrap();
            let (sql, values) = statement(damage);
            let mut query = sqlx::query(sql);
            for value in values {
                query = match value {
                    Value::Id(id) => query.bind(id.0.to_vec()),
                    Value::Number(number) => query.bind(signed(number)),
                    Value::Text(text) => query.bind(text),
                };
            }
            query.execute(&mut other).await.unwrap();
            other.close().await.unwrap();
        })
    }
}

fn statement(damage: Damage) -> (&'static str, Vec<Value>) {
    use Value::{Id, Number, Text};
    let name = |user: godwit_core::ids::UserId| Text(user.as_str().to_owned());
    match damage {
        Damage::Head { conversation, number, active_seq, active_ms } => (
            "UPDATE conversations SET number = ?2, active_seq = ?3, active_ms = ?4 WHERE id = ?1",
            vec![Id(conversation), Number(number), Number(active_seq), Number(active_ms)],
        ),
        Damage::EntryNumber { conversation, seq, number } => (
            "UPDATE messages SET number = ?3 WHERE conversation_id = ?1 AND seq = ?2",
            vec![Id(conversation), Number(seq), Number(number)],
        ),
        Damage::Mention { conversation, user, seq } => (
            "INSERT INTO mentions (conversation_id, user_id, seq) VALUES (?1, ?2, ?3)",
            vec![Id(conversation), name(user), Number(seq)],
        ),
        Damage::NoMentions { conversation } => {
            ("DELETE FROM mentions WHERE conversation_id = ?1", vec![Id(conversation)])
        }
        Damage::Cursors { conversation, user, delivered, read } => (
            "INSERT INTO inbox (conversation_id, user_id, delivered_seq, read_seq, archived,
                marked_unread)
             VALUES (?1, ?2, ?3, ?4, 0, 0)
             ON CONFLICT (conversation_id, user_id)
             DO UPDATE SET delivered_seq = excluded.delivered_seq, read_seq = excluded.read_seq",
            vec![Id(conversation), name(user), Number(delivered), Number(read)],
        ),
        Damage::Blocks { user, count } => (
            "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
             INSERT INTO blocks (user_id, other_id, created_ms) SELECT ?1, 'x' || i, ?3 FROM n",
            vec![name(user), Number(count as u64), Number(NOW)],
        ),
    }
}
