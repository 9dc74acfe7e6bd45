-- A sender's entries about a message are counted since a time.
DROP INDEX messages_by_target;
CREATE INDEX messages_by_target ON messages (conversation_id, target_seq, kind, sender, time_ms)
WHERE target_seq IS NOT NULL;
