SELECT fingerprint = ?3 AS "same!: bool"
FROM request_keys
WHERE caller = ?1 AND "key" = ?2
