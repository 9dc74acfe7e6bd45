-- The pair's conversation, if it has none yet.
INSERT INTO direct_pairs (low_id, high_id, conversation_id)
VALUES (?1, ?2, ?3)
ON CONFLICT (low_id, high_id) DO NOTHING
