UPDATE devices SET name = $3
WHERE user_id = $1 AND device_id = $2
RETURNING device_id, name, created_ms, connected_ms, revoked_ms, barred
