-- Who sends has read: cursors move to places, or are made; never back. What is read is not marked unread
-- any more. ?1: [[offset of the conversation in ?2, user, seq], ...].
INSERT INTO inbox (
    conversation_id, user_id, delivered_seq, read_seq, archived, marked_unread
)
SELECT substr(?2, value ->> 0, 16), value ->> 1, value ->> 2, value ->> 2, 0, 0
FROM json_each(?1)
WHERE true
ON CONFLICT (conversation_id, user_id) DO UPDATE SET
    delivered_seq = max(inbox.delivered_seq, excluded.delivered_seq),
    read_seq = max(inbox.read_seq, excluded.read_seq),
    marked_unread = CASE
        WHEN excluded.read_seq > inbox.read_seq THEN 0 ELSE inbox.marked_unread
    END
