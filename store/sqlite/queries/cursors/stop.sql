-- A device's cursors of one feed (or of all: ?3 is null), in one conversation or in all.
DELETE FROM cursors
WHERE
    user_id = ?1 AND device_id = ?2 AND (?3 IS NULL OR feed = ?3)
    AND conversation_id IN (
        SELECT m.conversation_id FROM members AS m
        WHERE m.user_id = ?1 AND m.left_seq IS NULL AND (?4 IS NULL OR m.conversation_id = ?4)
    )
