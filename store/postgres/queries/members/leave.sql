-- The entry at $3 tells of it.
UPDATE members SET left_seq = $3, left_ms = $4
WHERE conversation_id = $1 AND user_id = any($2::text []) AND left_seq IS NULL
