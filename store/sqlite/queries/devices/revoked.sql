-- Above (?1, ?2).
SELECT
    user_id AS "user_id!: String",
    device_id AS "device_id!: String",
    revoked_ms AS "revoked_ms!: i64"
FROM devices
WHERE revoked_ms IS NOT NULL AND (user_id, device_id) > (?1, ?2)
ORDER BY user_id, device_id
LIMIT ?3
