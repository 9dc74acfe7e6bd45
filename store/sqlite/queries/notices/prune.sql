DELETE FROM notices
WHERE (user_id, feed, subject) IN (
    SELECT user_id, feed, subject FROM notices
    WHERE time_ms <= ?1
    ORDER BY time_ms
    LIMIT ?2
)
