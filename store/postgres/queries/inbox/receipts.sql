SELECT i.user_id, i.delivered_seq, i.read_seq
FROM inbox AS i
CROSS JOIN LATERAL (
    SELECT role FROM members
    WHERE conversation_id = $1 AND user_id = i.user_id AND left_seq IS NULL
    LIMIT 1
) AS m
WHERE i.conversation_id = $1 AND (i.delivered_seq > 0 OR i.read_seq > 0)
ORDER BY i.user_id
