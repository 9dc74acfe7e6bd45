-- The conversation with its details in one row, and each present member in another: one statement
-- reads one moment, and a long description is read once.
SELECT
    c.id AS "id?: Vec<u8>",
    c.kind AS "kind?: i64",
    c.head_seq AS "head_seq?: i64",
    c.head_chain AS "head_chain?: Vec<u8>",
    c.group_version AS "group_version?: i64",
    c.number AS "number?: i64",
    c.active_seq AS "active_seq?: i64",
    c.active_ms AS "active_ms?: i64",
    c.expiry_s AS "expiry_s?: i64",
    c.next_tag AS "next_tag?: i64",
    coalesce(d.history, 1) AS "history?: i64",
    coalesce(d.title, '') AS "title?: String",
    coalesce(d.title_seq, 0) AS "title_seq?: i64",
    coalesce(d.description, '') AS "description?: String",
    coalesce(d.description_seq, 0) AS "description_seq?: i64",
    coalesce(d.changed_seq, 0) AS "changed_seq?: i64",
    NULL AS "user_id?: String",
    NULL AS "role?: i64",
    NULL AS "joined_seq?: i64",
    NULL AS "visible_seq?: i64",
    NULL AS "tag?: i64",
    NULL AS "blocked?: bool"
FROM conversations AS c
LEFT JOIN details AS d ON d.conversation_id = c.id
WHERE c.id = ?1
UNION ALL
SELECT
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    m.user_id,
    m.role,
    m.joined_seq,
    m.visible_seq,
    m.tag,
    m.blocked
FROM members AS m
WHERE m.conversation_id = ?1 AND m.left_seq IS NULL
ORDER BY 17
