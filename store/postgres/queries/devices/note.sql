-- In the order of the names, each device once.
INSERT INTO devices AS d (user_id, device_id, name, created_ms, connected_ms)
SELECT n.user_id, n.device_id, '', n.connected_ms, n.connected_ms
FROM unnest($1::text [], $2::text [], $3::bigint []) AS n (user_id, device_id, connected_ms)
ON CONFLICT (user_id, device_id) DO UPDATE SET connected_ms = excluded.connected_ms
WHERE d.connected_ms < excluded.connected_ms
