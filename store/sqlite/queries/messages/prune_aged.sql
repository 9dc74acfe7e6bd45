UPDATE messages SET body = x'', body_gone = 1
WHERE (conversation_id, seq) IN (
    SELECT conversation_id, seq FROM messages
    WHERE time_ms < ?1 AND body_gone = 0
    ORDER BY time_ms
    LIMIT ?2
)
