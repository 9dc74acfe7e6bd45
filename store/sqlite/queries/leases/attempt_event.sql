-- As attempt.sql.
INSERT INTO outbox (conversation_id, seq) VALUES (zeroblob(16), 0)
