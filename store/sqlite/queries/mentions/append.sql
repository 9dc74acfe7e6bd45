-- ?1: [[offset of the conversation in ?2, user, seq], ...]. A message may name a user twice.
INSERT INTO mentions (conversation_id, user_id, seq)
SELECT DISTINCT substr(?2, value ->> 0, 16), value ->> 1, value ->> 2
FROM json_each(?1)
