-- Connected.
INSERT INTO sessions (user_id, device_id, expiry_s, closed_ms)
SELECT d.user_id, d.device_id, d.expiry_s, NULL
FROM unnest($1::text [], $2::text [], $3::bigint []) AS d (user_id, device_id, expiry_s)
ON CONFLICT (user_id, device_id) DO UPDATE SET expiry_s = excluded.expiry_s, closed_ms = NULL
