INSERT INTO offers (user_id, conversation_id, inviter_id, inviter_device, role, time_ms)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (user_id, conversation_id) DO UPDATE
SET
    inviter_id = excluded.inviter_id,
    inviter_device = excluded.inviter_device,
    role = excluded.role,
    time_ms = excluded.time_ms
