SELECT device_id FROM sessions WHERE user_id = $1
