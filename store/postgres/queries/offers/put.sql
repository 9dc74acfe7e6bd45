-- Each of a user and conversation once, in the order of these.
INSERT INTO offers (user_id, conversation_id, inviter_id, inviter_device, role, time_ms)
SELECT n.user_id, n.conversation_id, n.inviter_id, n.inviter_device, n.role, n.time_ms
FROM unnest($1::text [], $2::uuid [], $3::text [], $4::text [], $5::smallint [], $6::bigint [])
    AS n (user_id, conversation_id, inviter_id, inviter_device, role, time_ms)
ON CONFLICT (user_id, conversation_id) DO UPDATE
SET
    inviter_id = excluded.inviter_id,
    inviter_device = excluded.inviter_device,
    role = excluded.role,
    time_ms = excluded.time_ms
