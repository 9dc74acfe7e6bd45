INSERT INTO blocks (user_id, other_id, created_ms)
VALUES (?1, ?2, ?3)
ON CONFLICT (user_id, other_id) DO NOTHING
