-- The later time counts. A device that was never seen is first seen now, and never connected. $4:
-- null: as it was.
INSERT INTO devices AS d (
    user_id, device_id, name, created_ms, connected_ms, revoked_ms, barred
)
VALUES ($1, $2, '', $3, 0, $3, coalesce($4::boolean, false))
ON CONFLICT (user_id, device_id)
DO UPDATE SET
    revoked_ms = greatest(d.revoked_ms, excluded.revoked_ms),
    barred = coalesce($4::boolean, d.barred)
RETURNING device_id, name, created_ms, connected_ms, revoked_ms, barred
