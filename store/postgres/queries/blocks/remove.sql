DELETE FROM blocks WHERE user_id = $1 AND other_id = $2
