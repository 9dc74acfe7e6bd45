-- The fingerprint that the key stands for: this one when it is new. A key that stands is written as
-- it was, to have it answered.
INSERT INTO request_keys AS k (caller, key, fingerprint, created_ms)
VALUES ($1, $2, $3, $4)
ON CONFLICT (caller, key) DO UPDATE SET fingerprint = k.fingerprint
RETURNING fingerprint
