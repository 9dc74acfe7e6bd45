UPDATE devices SET barred = 0
WHERE user_id = ?1 AND device_id = ?2
RETURNING
    device_id AS "device_id!: String",
    name AS "name!: String",
    created_ms AS "created_ms!: i64",
    connected_ms AS "connected_ms!: i64",
    revoked_ms AS "revoked_ms?: i64",
    barred AS "barred!: bool"
