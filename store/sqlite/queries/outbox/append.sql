-- The same parameters as messages/append.sql.
INSERT INTO outbox (conversation_id, seq)
SELECT substr(?2, value ->> 0, 16), value ->> 2
FROM json_each(?1)
ORDER BY key
