-- Locked until the end of the transaction.
SELECT muted_until_ms, archived, pinned_ms, marked_unread
FROM inbox
WHERE conversation_id = $1 AND user_id = $2
FOR UPDATE
