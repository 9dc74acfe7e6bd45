SELECT
    number AS "number!: i64",
    user_id AS "user_id!: String",
    device_id AS "device_id!: String",
    revoked_ms AS "revoked_ms?: i64",
    barred AS "barred!: bool"
FROM revocations
WHERE number > ?1
ORDER BY number
LIMIT ?2
