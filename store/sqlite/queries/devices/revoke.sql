-- Also a device that was never seen; the later time counts. ?4: null: as it was.
INSERT INTO devices (user_id, device_id, name, created_ms, connected_ms, revoked_ms, barred)
VALUES (?1, ?2, '', ?3, 0, ?3, coalesce(?4, 0))
ON CONFLICT (user_id, device_id) DO UPDATE SET
    revoked_ms = max(coalesce(devices.revoked_ms, 0), excluded.revoked_ms),
    barred = coalesce(?4, devices.barred)
RETURNING
    device_id AS "device_id!: String",
    name AS "name!: String",
    created_ms AS "created_ms!: i64",
    connected_ms AS "connected_ms!: i64",
    revoked_ms AS "revoked_ms?: i64",
    barred AS "barred!: bool"
