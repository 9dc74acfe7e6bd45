-- The version rises: what was decided from the old head is not good any more.
UPDATE conversations
SET number = ?2, active_seq = ?3, active_ms = ?4, group_version = group_version + 1
WHERE id = ?1
