INSERT INTO conversations (
    id, kind, head_seq, head_chain, group_version, created_ms, number, active_seq, active_ms,
    expiry_s, next_tag
)
VALUES (?1, ?2, 0, ?3, 1, ?4, 0, 0, ?4, ?5, ?6)
ON CONFLICT (id) DO NOTHING
