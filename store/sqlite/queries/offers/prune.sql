DELETE FROM offers
WHERE (user_id, conversation_id) IN (
    SELECT user_id, conversation_id FROM offers
    WHERE time_ms <= ?1
    ORDER BY time_ms
    LIMIT ?2
)
