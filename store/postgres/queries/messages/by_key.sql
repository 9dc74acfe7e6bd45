SELECT
    seq, message_id, kind, sender, device, time_ms, chain, number, reply_to, target_seq, mentions,
    expires_ms, body_gone, body
FROM messages
WHERE conversation_id = $1 AND sender = $2 AND device = $3 AND cmid = $4
