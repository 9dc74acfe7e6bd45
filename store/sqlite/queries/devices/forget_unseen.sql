DELETE FROM devices
WHERE (user_id, device_id) IN (
    SELECT user_id, device_id FROM devices
    WHERE connected_ms = 0 AND revoked_ms IS NOT NULL AND revoked_ms < ?1 AND barred = 0
    ORDER BY revoked_ms
    LIMIT ?2
)
RETURNING user_id AS "user_id!: String", device_id AS "device_id!: String"
