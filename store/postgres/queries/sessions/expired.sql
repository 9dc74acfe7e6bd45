SELECT user_id, device_id FROM sessions
WHERE closed_ms IS NOT NULL AND closed_ms + expiry_s * 1000 <= $1
ORDER BY closed_ms + expiry_s * 1000
LIMIT $2
