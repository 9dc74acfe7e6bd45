SELECT device_id AS "device_id!: String" FROM sessions WHERE user_id = ?1
