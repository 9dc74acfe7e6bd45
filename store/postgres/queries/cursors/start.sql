-- At the head now, for one conversation ($4) or all ($4 is null); those that stand stay. The stay
-- is held, so that no cursor remains of a user who leaves at this moment.
INSERT INTO cursors (conversation_id, user_id, device_id, feed, seq)
SELECT m.conversation_id, m.user_id, $2, $3, c.head_seq
FROM members AS m
INNER JOIN conversations AS c ON c.id = m.conversation_id
WHERE m.user_id = $1 AND m.left_seq IS NULL AND ($4::uuid IS NULL OR m.conversation_id = $4)
ORDER BY m.conversation_id
FOR SHARE OF m
ON CONFLICT DO NOTHING
