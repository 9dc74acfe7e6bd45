-- Heads as stored and as the log says, where these differ: messages (1) are counted; messages,
-- changes of members (2) and of details (6) are what an inbox shows.
SELECT
    c.id,
    c.number,
    c.active_seq,
    c.active_ms,
    n.counted AS "counted!",
    coalesce(a.seq, 0) AS "last_seq!",
    coalesce(a.time_ms, c.created_ms) AS "last_ms!"
FROM conversations AS c
CROSS JOIN LATERAL (
    SELECT count(*) AS counted FROM messages
    WHERE conversation_id = c.id AND kind = 1
) AS n
LEFT JOIN LATERAL (
    SELECT seq, time_ms FROM messages
    WHERE conversation_id = c.id AND kind IN (1, 2, 6)
    ORDER BY seq DESC
    LIMIT 1
) AS a ON true
WHERE
    c.id = any($1::uuid [])
    AND (c.number, c.active_seq, c.active_ms)
    <> (n.counted, coalesce(a.seq, 0), coalesce(a.time_ms, c.created_ms))
ORDER BY c.id
