DELETE FROM offers AS o
USING (
    SELECT user_id, conversation_id FROM offers
    WHERE time_ms <= $1
    ORDER BY time_ms
    LIMIT $2
    FOR UPDATE SKIP LOCKED
) AS due
WHERE o.user_id = due.user_id AND o.conversation_id = due.conversation_id
