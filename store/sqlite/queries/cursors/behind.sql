-- What stands above the head is told too: the log was cut, and the cursor must be mended.
-- A cursor never stands below the place where its user joined: what lies between is not theirs.
SELECT
    m.conversation_id AS "conversation_id!: Vec<u8>",
    max(coalesce(k.seq, 0), m.joined_seq) AS "delivered_seq!: i64",
    c.head_seq AS "head_seq!: i64"
FROM members AS m
CROSS JOIN conversations AS c ON c.id = m.conversation_id
LEFT JOIN cursors AS k
    ON k.conversation_id = m.conversation_id AND k.user_id = m.user_id AND k.device_id = ?2
    AND k.feed = ?3
WHERE
    m.user_id = ?1 AND m.left_seq IS NULL AND m.conversation_id > ?4
    AND (c.head_seq > max(coalesce(k.seq, 0), m.joined_seq) OR k.seq > c.head_seq)
ORDER BY m.conversation_id
LIMIT ?5
