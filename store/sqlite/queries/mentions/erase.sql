-- The same parameters as messages/erase.sql.
DELETE FROM mentions
WHERE (conversation_id, seq) IN (
    SELECT substr(?2, value ->> 0, 16), value ->> 1 FROM json_each(?1)
)
