-- ?1: [[user, device, milliseconds], ...].
INSERT INTO devices (user_id, device_id, name, created_ms, connected_ms)
SELECT value ->> 0, value ->> 1, '', min(value ->> 2), max(value ->> 2)
FROM json_each(?1)
GROUP BY value ->> 0, value ->> 1
ON CONFLICT (user_id, device_id) DO UPDATE SET
    connected_ms = max(devices.connected_ms, excluded.connected_ms)
