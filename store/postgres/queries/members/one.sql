-- One present member: one row, whatever the conversation's size. LIMIT: see conversations/load.
SELECT user_id, role, joined_seq, visible_seq, tag, blocked
FROM members
WHERE conversation_id = $1 AND user_id = $2 AND left_seq IS NULL
LIMIT 1
