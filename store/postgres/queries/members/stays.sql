-- Above the place $2 and the user $3, if these are given.
SELECT user_id, role, joined_seq, visible_seq, tag, blocked, left_seq
FROM members
WHERE
    conversation_id = $1
    AND ($2::bigint IS NULL OR (joined_seq, user_id) > ($2, $3::text COLLATE "C"))
ORDER BY joined_seq, user_id
LIMIT $4
