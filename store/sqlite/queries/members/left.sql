-- The latest ?3 stays that ended after ?2, but those of conversations that the user has come back to
-- since. The title is shown if it was that one when the stay ended.
SELECT
    m.conversation_id AS "conversation_id!: Vec<u8>",
    m.left_seq AS "left_seq!: i64",
    m.left_ms AS "left_ms!: i64",
    e.sender AS "by_id!: String",
    coalesce(d.title, '') AS "title!: String"
FROM (
    SELECT conversation_id, left_seq, left_ms FROM members
    WHERE user_id = ?1 AND left_ms > ?2
    ORDER BY left_ms DESC
    LIMIT ?3
) AS m
INNER JOIN messages AS e ON e.conversation_id = m.conversation_id AND e.seq = m.left_seq
LEFT JOIN details AS d ON d.conversation_id = m.conversation_id AND d.title_seq <= m.left_seq
WHERE NOT EXISTS (
    SELECT 1 FROM members AS o
    WHERE
        o.conversation_id = m.conversation_id AND o.user_id = ?1 AND o.joined_seq >= m.left_seq
)
ORDER BY m.left_ms DESC, m.conversation_id
