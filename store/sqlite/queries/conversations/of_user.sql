SELECT
    c.id AS "id!: Vec<u8>",
    c.kind AS "kind!: i64",
    c.head_seq AS "head_seq!: i64",
    c.head_chain AS "head_chain!: Vec<u8>",
    c.group_version AS "group_version!: i64",
    c.number AS "number!: i64",
    c.active_seq AS "active_seq!: i64",
    c.active_ms AS "active_ms!: i64",
    c.expiry_s AS "expiry_s?: i64",
    c.next_tag AS "next_tag!: i64",
    coalesce(d.history, 1) AS "history!: i64",
    coalesce(d.title, '') AS "title!: String",
    coalesce(d.title_seq, 0) AS "title_seq!: i64",
    coalesce(d.description, '') AS "description!: String",
    coalesce(d.description_seq, 0) AS "description_seq!: i64",
    coalesce(d.changed_seq, 0) AS "changed_seq!: i64"
FROM members AS m
CROSS JOIN conversations AS c ON c.id = m.conversation_id
LEFT JOIN details AS d ON d.conversation_id = c.id
WHERE m.user_id = ?1 AND m.left_seq IS NULL AND m.conversation_id > ?2
ORDER BY m.conversation_id
LIMIT ?3
