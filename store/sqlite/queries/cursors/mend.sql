-- Takes a device's cursors that stand above the head (the log was cut, by a restore) back to it.
UPDATE cursors SET seq = (
    SELECT c.head_seq FROM conversations AS c WHERE c.id = cursors.conversation_id
)
WHERE
    user_id = ?1 AND device_id = ?2
    AND conversation_id IN (
        SELECT m.conversation_id FROM members AS m WHERE m.user_id = ?1 AND m.left_seq IS NULL
    )
    AND seq > (SELECT c.head_seq FROM conversations AS c WHERE c.id = cursors.conversation_id)
