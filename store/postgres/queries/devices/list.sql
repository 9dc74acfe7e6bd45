SELECT device_id, name, created_ms, connected_ms, revoked_ms, barred
FROM devices
WHERE user_id = $1
ORDER BY device_id
