-- Rows that are due and lack (1), and rows that are not due (0), at most ?2. Due is who is named by
-- a message of another (by its last edit, 3, if there is one), unless the user has left since.
WITH due AS (
    SELECT DISTINCT CAST(u.value AS TEXT) AS user_id, m.seq
    FROM (
        SELECT
            o.seq,
            o.sender,
            coalesce(e.seq, o.seq) AS said_seq,
            CASE WHEN e.seq IS NULL THEN o.mentions ELSE e.mentions END AS mentions
        FROM messages AS o
        LEFT JOIN messages AS e
            ON e.conversation_id = ?1 AND e.seq = (
                SELECT max(x.seq) FROM messages AS x INDEXED BY messages_by_target
                WHERE x.conversation_id = ?1 AND x.target_seq = o.seq AND x.kind = 3
            )
        WHERE o.conversation_id = ?1 AND o.kind = 1
    ) AS m
    CROSS JOIN json_each('["' || replace(m.mentions, ' ', '","') || '"]') AS u
    WHERE
        m.mentions IS NOT NULL AND u.value <> m.sender
        AND NOT EXISTS (
            SELECT 1 FROM members AS s
            WHERE s.conversation_id = ?1 AND s.user_id = u.value AND s.left_seq > m.said_seq
        )
)

SELECT user_id AS "user_id!: String", seq AS "seq!: i64", due AS "due!: bool"
FROM (
    SELECT user_id, seq, 1 AS due
    FROM (
        SELECT user_id, seq FROM due
        EXCEPT
        SELECT user_id, seq FROM mentions WHERE conversation_id = ?1
    )
    UNION ALL
    SELECT user_id, seq, 0
    FROM (
        SELECT user_id, seq FROM mentions WHERE conversation_id = ?1
        EXCEPT
        SELECT user_id, seq FROM due
    )
)
ORDER BY user_id, seq
LIMIT ?2
