SELECT conversation_id, inviter_id, inviter_device, role, time_ms
FROM offers
WHERE user_id = $1 AND time_ms > $2
ORDER BY time_ms DESC, conversation_id DESC
