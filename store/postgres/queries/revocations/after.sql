SELECT number, user_id, device_id, revoked_ms, barred
FROM revocations
WHERE number > $1
ORDER BY number
LIMIT $2
