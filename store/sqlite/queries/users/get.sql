SELECT
    name AS "name!: String",
    password_hash AS "password_hash?: String",
    share_reads AS "share_reads!: bool",
    share_presence AS "share_presence!: bool",
    version AS "version!: i64",
    created_ms AS "created_ms!: i64",
    last_seen_ms AS "last_seen_ms?: i64",
    revoked_ms AS "revoked_ms?: i64",
    suspended AS "suspended!: bool",
    deleted_ms AS "deleted_ms?: i64"
FROM users
WHERE id = ?1
