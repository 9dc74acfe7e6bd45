SELECT
    seq AS "seq!: i64",
    subject AS "subject!: String",
    device AS "device?: String",
    time_ms AS "time_ms!: i64",
    body AS "body!: String"
FROM notices
WHERE user_id = ?1 AND feed = ?2 AND seq > ?3
ORDER BY seq
LIMIT ?4
