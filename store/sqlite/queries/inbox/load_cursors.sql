-- Heads and cursors of present members. ?1: [[offset of the conversation in ?2, user], ...]; no row:
-- no member.
SELECT
    CAST(j.key AS INTEGER) AS "place!: i64",
    c.head_seq AS "head_seq!: i64",
    coalesce(i.delivered_seq, 0) AS "delivered_seq!: i64",
    coalesce(i.read_seq, 0) AS "read_seq!: i64"
FROM json_each(?1) AS j
CROSS JOIN conversations AS c ON c.id = substr(?2, j.value ->> 0, 16)
CROSS JOIN members AS m
    ON m.conversation_id = c.id AND m.user_id = j.value ->> 1 AND m.left_seq IS NULL
LEFT JOIN inbox AS i ON i.conversation_id = c.id AND i.user_id = m.user_id
