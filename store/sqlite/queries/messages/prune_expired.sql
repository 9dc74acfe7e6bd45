UPDATE messages SET body = x'', body_gone = 1
WHERE (conversation_id, seq) IN (
    SELECT conversation_id, seq FROM messages
    WHERE expires_ms <= ?1 AND expires_ms IS NOT NULL AND body_gone = 0
    ORDER BY expires_ms
    LIMIT ?2
)
