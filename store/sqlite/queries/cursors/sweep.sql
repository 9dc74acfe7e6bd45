-- Forgets a device's cursors in conversations of its user above ?3 and up to ?4 (null: to the end).
DELETE FROM cursors
WHERE
    user_id = ?1 AND device_id = ?2
    AND conversation_id IN (
        SELECT m.conversation_id FROM members AS m
        WHERE
            m.user_id = ?1 AND m.left_seq IS NULL AND m.conversation_id > ?3
            AND (?4 IS NULL OR m.conversation_id <= ?4)
    )
