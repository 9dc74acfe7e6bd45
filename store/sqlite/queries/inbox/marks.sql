-- A present member's marks; no row: no member.
SELECT
    i.muted_until_ms AS "muted_until_ms?: i64",
    coalesce(i.archived, 0) AS "archived!: bool",
    i.pinned_ms AS "pinned_ms?: i64",
    coalesce(i.marked_unread, 0) AS "marked_unread!: bool"
FROM members AS m
LEFT JOIN inbox AS i ON i.conversation_id = m.conversation_id AND i.user_id = m.user_id
WHERE m.conversation_id = ?1 AND m.user_id = ?2 AND m.left_seq IS NULL
