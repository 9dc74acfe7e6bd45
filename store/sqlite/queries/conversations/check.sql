-- Heads above ?1, at most ?2, as stored and as the log says: messages (1) are counted; messages,
-- changes of members (2) and of details (6) are what an inbox shows.
SELECT
    c.id AS "id!: Vec<u8>",
    c.number AS "number!: i64",
    c.active_seq AS "active_seq!: i64",
    c.active_ms AS "active_ms!: i64",
    (
        SELECT count(*) FROM messages AS m WHERE m.conversation_id = c.id AND m.kind = 1
    ) AS "counted!: i64",
    coalesce(a.seq, 0) AS "last_seq!: i64",
    coalesce(a.time_ms, c.created_ms) AS "last_ms!: i64"
FROM conversations AS c
LEFT JOIN messages AS a
    ON a.conversation_id = c.id AND a.seq = (
        SELECT m.seq FROM messages AS m
        WHERE m.conversation_id = c.id AND m.kind IN (1, 2, 6)
        ORDER BY m.seq DESC
        LIMIT 1
    )
WHERE c.id > ?1
ORDER BY c.id
LIMIT ?2
