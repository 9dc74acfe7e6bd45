-- Rows of present members that are not there yet, so that they can be held: a row that somebody else
-- makes at the same moment is waited for. The keys come in their order. LIMIT: see conversations/load.
INSERT INTO inbox (conversation_id, user_id, delivered_seq, read_seq, archived, marked_unread)
SELECT s.conversation_id, s.user_id, 0, 0, false, false
FROM (
    SELECT
        unnest($1::uuid []) AS conversation_id,
        unnest($2::text []) AS user_id
) AS s
CROSS JOIN LATERAL (
    SELECT role FROM members
    WHERE conversation_id = s.conversation_id AND user_id = s.user_id AND left_seq IS NULL
    LIMIT 1
) AS m
ON CONFLICT (conversation_id, user_id) DO NOTHING
