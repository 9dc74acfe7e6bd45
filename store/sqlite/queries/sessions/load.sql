-- ?1: [[user, device], ...].
SELECT
    s.user_id AS "user_id!: String",
    s.device_id AS "device_id!: String",
    s.expiry_s AS "expiry_s!: i64",
    s.closed_ms AS "closed_ms?: i64"
FROM json_each(?1) AS j
CROSS JOIN sessions AS s ON s.user_id = j.value ->> 0 AND s.device_id = j.value ->> 1
