-- Rows that are due and lack, and rows that are not due, at most $2. Due is who is named by a
-- message of another (by its last edit, 3, if there is one), unless the user has left since.
WITH due AS (
    SELECT DISTINCT m.conversation_id, u.user_id, m.seq
    FROM messages AS m
    LEFT JOIN LATERAL (
        SELECT seq, mentions FROM messages
        WHERE conversation_id = m.conversation_id AND target_seq = m.seq AND kind = 3
        ORDER BY seq DESC
        LIMIT 1
    ) AS e ON true
    CROSS JOIN LATERAL (
        SELECT
            unnest(
                string_to_array(CASE WHEN e.seq IS NULL THEN m.mentions ELSE e.mentions END, ' ')
            ) COLLATE "C" AS user_id
    ) AS u
    WHERE
        m.conversation_id = any($1::uuid []) AND m.kind = 1 AND u.user_id <> m.sender
        AND NOT EXISTS (
            SELECT FROM members AS s
            WHERE
                s.conversation_id = m.conversation_id AND s.user_id = u.user_id
                AND s.left_seq > coalesce(e.seq, m.seq)
        )
),

lacking AS (
    SELECT conversation_id, user_id, seq FROM due
    EXCEPT
    SELECT conversation_id, user_id, seq FROM mentions WHERE conversation_id = any($1::uuid [])
),

extra AS (
    SELECT conversation_id, user_id, seq FROM mentions WHERE conversation_id = any($1::uuid [])
    EXCEPT
    SELECT conversation_id, user_id, seq FROM due
)

SELECT
    r.conversation_id AS "conversation_id!",
    r.user_id AS "user_id!",
    r.seq AS "seq!",
    r.is_due AS "is_due!"
FROM (
    SELECT conversation_id, user_id, seq, true AS is_due FROM lacking
    UNION ALL
    SELECT conversation_id, user_id, seq, false AS is_due FROM extra
) AS r
ORDER BY r.conversation_id, r.user_id, r.seq
LIMIT $2
