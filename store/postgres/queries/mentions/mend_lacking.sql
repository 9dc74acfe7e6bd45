-- Rows that are due, as in mentions/check.
INSERT INTO mentions (conversation_id, user_id, seq)
SELECT m.conversation_id, u.user_id, m.seq
FROM messages AS m
CROSS JOIN LATERAL (
    SELECT unnest(string_to_array(m.mentions, ' ')) AS user_id
) AS u
WHERE
    m.conversation_id = any($1::uuid []) AND m.mentions IS NOT NULL AND u.user_id <> m.sender
    AND NOT EXISTS (
        SELECT FROM members AS s
        WHERE
            s.conversation_id = m.conversation_id AND s.user_id = u.user_id
            AND s.left_seq > m.seq
    )
ON CONFLICT (conversation_id, user_id, seq) DO NOTHING
