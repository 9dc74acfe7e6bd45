-- ?2: [user, ...]; the entry at ?3 tells of it.
UPDATE members SET left_seq = ?3, left_ms = ?4
WHERE conversation_id = ?1 AND left_seq IS NULL AND user_id IN (SELECT value FROM json_each(?2))
