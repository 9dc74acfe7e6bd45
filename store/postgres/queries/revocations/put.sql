INSERT INTO revocations (user_id, device_id, number, revoked_ms, barred)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (user_id, device_id) DO UPDATE SET
    number = excluded.number, revoked_ms = excluded.revoked_ms, barred = excluded.barred
