-- The oldest of each of these users (each once) go that are more than $2.
DELETE FROM offers AS o
USING unnest($1::text []) AS n (user_id), LATERAL (
    SELECT b.conversation_id FROM offers AS b
    WHERE b.user_id = n.user_id
    ORDER BY b.time_ms DESC, b.conversation_id DESC
    OFFSET $2
) AS beyond
WHERE o.user_id = n.user_id AND o.conversation_id = beyond.conversation_id
