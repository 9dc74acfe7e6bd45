SELECT user_id AS "user_id!: String", device_id AS "device_id!: String"
FROM sessions
WHERE closed_ms IS NOT NULL AND closed_ms + expiry_s * 1000 <= ?1
ORDER BY closed_ms + expiry_s * 1000
LIMIT ?2
