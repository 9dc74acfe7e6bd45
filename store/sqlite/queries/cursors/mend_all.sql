-- Takes cursors that stand above the head back to it, in conversations above ?1 and up to ?2 (null: to
-- the end).
UPDATE cursors SET seq = (
    SELECT c.head_seq FROM conversations AS c WHERE c.id = cursors.conversation_id
)
WHERE
    conversation_id > ?1 AND (?2 IS NULL OR conversation_id <= ?2)
    AND seq > (SELECT c.head_seq FROM conversations AS c WHERE c.id = cursors.conversation_id)
