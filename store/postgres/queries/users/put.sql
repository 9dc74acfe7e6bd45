-- All but when the user was last seen.
UPDATE users
SET
    name = $2, password_hash = $3, share_reads = $4, share_presence = $5, version = $6,
    created_ms = $7, revoked_ms = $8, suspended = $9, deleted_ms = $10
WHERE id = $1
