-- Takes a device's cursors that stand above the head (the log was cut, by a restore or a failover)
-- back to it; tells how many.
WITH ahead AS (
    SELECT k.conversation_id, k.feed, c.head_seq
    FROM members AS m
    INNER JOIN conversations AS c ON c.id = m.conversation_id
    INNER JOIN cursors AS k
        ON k.conversation_id = m.conversation_id AND k.user_id = $1 AND k.device_id = $2
    WHERE m.user_id = $1 AND m.left_seq IS NULL AND k.seq > c.head_seq
)

UPDATE cursors AS k SET seq = a.head_seq
FROM ahead AS a
WHERE
    k.conversation_id = a.conversation_id AND k.user_id = $1 AND k.device_id = $2
    AND k.feed = a.feed
