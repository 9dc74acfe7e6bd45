-- ?1: [[user, device], ...].
SELECT
    s.user_id AS "user_id!: String",
    s.device_id AS "device_id!: String",
    s.filter AS "filter!: String",
    s.options AS "options!: i64",
    s.identifier AS "identifier?: i64"
FROM json_each(?1) AS j
CROSS JOIN subscriptions AS s ON s.user_id = j.value ->> 0 AND s.device_id = j.value ->> 1
ORDER BY s.filter
