-- All but when the user was last seen.
INSERT INTO users (
    id, name, password_hash, share_reads, share_presence, version, created_ms, revoked_ms,
    suspended, deleted_ms
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name,
    password_hash = excluded.password_hash,
    share_reads = excluded.share_reads,
    share_presence = excluded.share_presence,
    version = excluded.version,
    created_ms = excluded.created_ms,
    revoked_ms = excluded.revoked_ms,
    suspended = excluded.suspended,
    deleted_ms = excluded.deleted_ms
