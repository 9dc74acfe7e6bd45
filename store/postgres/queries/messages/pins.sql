-- The newest pin (7) of each message that is there and was not unpinned (8) since, the last first.
-- LIMIT: see conversations/load. BETWEEN: the index of all pins is not what is asked there.
SELECT
    p.seq,
    p.message_id,
    p.kind,
    p.sender,
    p.device,
    p.time_ms,
    p.chain,
    p.number,
    p.reply_to,
    p.target_seq,
    p.mentions,
    p.expires_ms,
    p.body_gone,
    p.body
FROM messages AS p
CROSS JOIN LATERAL (
    SELECT seq FROM messages
    WHERE conversation_id = $1 AND seq = p.target_seq AND NOT body_gone
    LIMIT 1
) AS t
LEFT JOIN LATERAL (
    SELECT seq FROM messages
    WHERE
        conversation_id = $1 AND target_seq = t.seq AND kind BETWEEN 7 AND 8 AND seq > p.seq
    LIMIT 1
) AS later ON true
WHERE p.conversation_id = $1 AND p.kind IN (7, 8) AND p.kind = 7 AND later.seq IS NULL
ORDER BY p.seq DESC
LIMIT $2
