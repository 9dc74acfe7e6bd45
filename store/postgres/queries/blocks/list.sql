SELECT other_id FROM blocks WHERE user_id = $1 ORDER BY other_id LIMIT $2
