SELECT
    c.id AS "id!: Vec<u8>",
    c.kind AS "kind!: i64",
    c.head_seq AS "head_seq!: i64",
    c.head_chain AS "head_chain!: Vec<u8>",
    c.group_version AS "group_version!: i64"
FROM members AS m
CROSS JOIN conversations AS c ON c.id = m.conversation_id
WHERE m.user_id = ?1 AND m.left_seq IS NULL AND m.conversation_id > ?2
ORDER BY m.conversation_id
LIMIT ?3
