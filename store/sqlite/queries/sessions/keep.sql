-- ?1: [[user, device, expiry_s], ...]: connected.
INSERT INTO sessions (user_id, device_id, expiry_s, closed_ms)
SELECT value ->> 0, value ->> 1, value ->> 2, NULL
FROM json_each(?1)
WHERE true
ON CONFLICT (user_id, device_id) DO UPDATE SET expiry_s = excluded.expiry_s, closed_ms = NULL
