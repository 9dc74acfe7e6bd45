-- Cursors beyond the head.
SELECT
    i.user_id AS "user_id!: String",
    i.delivered_seq AS "delivered_seq!: i64",
    i.read_seq AS "read_seq!: i64",
    c.head_seq AS "head_seq!: i64"
FROM conversations AS c
CROSS JOIN inbox AS i ON i.conversation_id = c.id
WHERE c.id = ?1 AND (i.delivered_seq > c.head_seq OR i.read_seq > c.head_seq)
ORDER BY i.user_id
