-- Rows that are due, as in mentions/check.
INSERT INTO mentions (conversation_id, user_id, seq)
SELECT m.conversation_id, u.user_id, m.seq
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
ON CONFLICT (conversation_id, user_id, seq) DO NOTHING
