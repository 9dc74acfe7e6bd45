DELETE FROM inbox WHERE conversation_id = $1 AND user_id = any($2::text [])
