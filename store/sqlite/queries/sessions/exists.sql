SELECT EXISTS (SELECT 1 FROM sessions WHERE user_id = ?1 AND device_id = ?2) AS "kept!: bool"
