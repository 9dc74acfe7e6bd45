-- Makes the row of which nothing is set (version 0), so that there is one to lock.
INSERT INTO users (id, name, share_reads, share_presence, version, created_ms)
VALUES ($1, '', $2, $3, 0, 0)
ON CONFLICT (id) DO NOTHING
