-- Above the device ($1, $2); every name is above the empty one.
SELECT user_id, device_id, revoked_ms AS "revoked_ms!"
FROM devices
WHERE revoked_ms IS NOT NULL AND (user_id, device_id) > ($1, $2)
ORDER BY user_id, device_id
LIMIT $3
