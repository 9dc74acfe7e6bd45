-- The same parameters as mentions/append.sql.
DELETE FROM mentions
WHERE (conversation_id, user_id, seq) IN (
    SELECT substr(?2, value ->> 0, 16), value ->> 1, value ->> 2 FROM json_each(?1)
)
