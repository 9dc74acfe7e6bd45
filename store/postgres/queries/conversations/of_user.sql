SELECT c.id, c.kind, c.head_seq, c.head_chain, c.group_version
FROM members AS m
INNER JOIN conversations AS c ON c.id = m.conversation_id
WHERE m.user_id = $1 AND m.left_seq IS NULL AND ($2::uuid IS NULL OR m.conversation_id > $2)
ORDER BY m.conversation_id
LIMIT $3
