SELECT id, conversation_id, seq FROM outbox ORDER BY id LIMIT $1
