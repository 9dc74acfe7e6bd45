INSERT INTO request_keys (caller, "key", fingerprint, created_ms)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (caller, "key") DO NOTHING
