INSERT INTO conversations (id, kind, head_seq, head_chain, group_version, created_ms)
VALUES ($1, $2, 0, $3, 1, $4)
ON CONFLICT (id) DO NOTHING
