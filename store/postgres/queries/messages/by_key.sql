SELECT
    seq, message_id, kind, sender, device, time_ms, chain, reply_to, expires_ms, body_gone, body
FROM messages
WHERE conversation_id = $1 AND sender = $2 AND device = $3 AND cmid = $4
