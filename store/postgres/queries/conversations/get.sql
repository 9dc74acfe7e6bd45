-- The conversation once for each present member, or once without one: one statement, one moment.
SELECT
    c.id,
    c.kind,
    c.head_seq,
    c.head_chain,
    c.group_version,
    m.user_id AS "user_id?",
    m.role AS "role?",
    m.joined_seq AS "joined_seq?"
FROM conversations AS c
LEFT JOIN members AS m ON m.conversation_id = c.id AND m.left_seq IS NULL
WHERE c.id = $1
ORDER BY m.user_id
