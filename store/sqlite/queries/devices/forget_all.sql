DELETE FROM devices WHERE user_id = ?1
