SELECT
    i.user_id AS "user_id!: String",
    i.delivered_seq AS "delivered_seq!: i64",
    i.read_seq AS "read_seq!: i64"
FROM inbox AS i
CROSS JOIN members AS m
    ON m.conversation_id = i.conversation_id AND m.user_id = i.user_id AND m.left_seq IS NULL
WHERE i.conversation_id = ?1 AND (i.delivered_seq > 0 OR i.read_seq > 0)
ORDER BY i.user_id
