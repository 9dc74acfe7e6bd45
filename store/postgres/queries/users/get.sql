SELECT
    name, password_hash, share_reads, share_presence, version, created_ms, last_seen_ms,
    revoked_ms, suspended, deleted_ms
FROM users
WHERE id = $1
