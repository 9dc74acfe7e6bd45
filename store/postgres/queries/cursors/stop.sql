-- A device's cursors of one feed (or of all: $3 is null), in one conversation or in all.
DELETE FROM cursors AS k
USING members AS m
WHERE
    m.user_id = $1 AND m.left_seq IS NULL AND ($4::uuid IS NULL OR m.conversation_id = $4)
    AND k.conversation_id = m.conversation_id AND k.user_id = $1 AND k.device_id = $2
    AND ($3::smallint IS NULL OR k.feed = $3)
