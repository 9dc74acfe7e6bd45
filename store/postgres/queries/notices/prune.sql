DELETE FROM notices AS n
USING (
    SELECT user_id, feed, subject FROM notices
    WHERE time_ms <= $1
    ORDER BY time_ms
    LIMIT $2
    FOR UPDATE SKIP LOCKED
) AS due
WHERE n.user_id = due.user_id AND n.feed = due.feed AND n.subject = due.subject
