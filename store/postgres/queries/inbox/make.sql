-- Makes the rows of present members that are not there yet, and locks all of them: in one pass, in the
-- order of the keys, as a commit does it. (First those that are missing and then the others would
-- be two orders: a commit that holds the first row and waits for the second, which was made here, would
-- be waited for in turn.) WHERE false: a row that stands is locked and not written. A row that somebody
-- else makes at the same moment is waited for. LIMIT: see conversations/load.
INSERT INTO inbox AS i (
    conversation_id, user_id, delivered_seq, read_seq, archived, marked_unread
)
SELECT
    s.conversation_id, s.user_id, 0, 0, false, false
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
ON CONFLICT (conversation_id, user_id) DO UPDATE SET read_seq = i.read_seq WHERE false
