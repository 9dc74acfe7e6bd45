-- The later time counts. A device that was never seen is first seen now, and never connected.
INSERT INTO devices AS d (user_id, device_id, name, created_ms, connected_ms, revoked_ms)
VALUES ($1, $2, '', $3, 0, $3)
ON CONFLICT (user_id, device_id)
DO UPDATE SET revoked_ms = greatest(d.revoked_ms, excluded.revoked_ms)
RETURNING device_id, name, created_ms, connected_ms, revoked_ms
