-- The conversation once for each present member, or once without one.
SELECT
    c.id AS "id!: Vec<u8>",
    c.kind AS "kind!: i64",
    c.head_seq AS "head_seq!: i64",
    c.head_chain AS "head_chain!: Vec<u8>",
    c.group_version AS "group_version!: i64",
    m.user_id AS "user_id?: String",
    m.role AS "role?: i64",
    m.joined_seq AS "joined_seq?: i64"
FROM conversations AS c
LEFT JOIN members AS m ON m.conversation_id = c.id AND m.left_seq IS NULL
WHERE c.id = ?1
ORDER BY m.user_id
