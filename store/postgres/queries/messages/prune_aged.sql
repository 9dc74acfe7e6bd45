UPDATE messages AS m SET body = '', body_gone = true
FROM (
    SELECT conversation_id, seq FROM messages
    WHERE time_ms < $1 AND NOT body_gone
    ORDER BY time_ms
    LIMIT $2
    FOR UPDATE SKIP LOCKED
) AS due
WHERE m.conversation_id = due.conversation_id AND m.seq = due.seq
