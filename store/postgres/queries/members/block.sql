UPDATE members SET blocked = $3
WHERE conversation_id = any($1::uuid []) AND user_id = $2 AND left_seq IS NULL
