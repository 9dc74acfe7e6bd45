SELECT conversation_id FROM direct_pairs WHERE low_id = $1 AND high_id = $2
