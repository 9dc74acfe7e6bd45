-- The direct conversations (kind 1) of two users. LIMIT: see conversations/load.
SELECT m.conversation_id
FROM members AS m
CROSS JOIN LATERAL (
    SELECT role FROM members
    WHERE conversation_id = m.conversation_id AND user_id = $2 AND left_seq IS NULL
    LIMIT 1
) AS o
CROSS JOIN LATERAL (
    SELECT kind FROM conversations
    WHERE id = m.conversation_id
    LIMIT 1
) AS c
WHERE m.user_id = $1 AND m.left_seq IS NULL AND c.kind = 1
ORDER BY m.conversation_id
