-- The version rises: what was decided from the old head is not good any more. ?5: the number of the move.
UPDATE conversations
SET
    number = ?2, active_seq = ?3, active_ms = ?4, group_version = group_version + 1,
    moved = coalesce(?5, moved)
WHERE id = ?1
