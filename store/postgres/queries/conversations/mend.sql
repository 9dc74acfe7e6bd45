-- As conversations/check. The version rises: what was decided from the old head is not good any
-- more.
UPDATE conversations AS c
SET
    number = w.counted, active_seq = w.last_seq, active_ms = w.last_ms,
    group_version = c.group_version + 1, moved = pg_current_xact_id()::text::bigint
FROM (
    SELECT
        o.id,
        n.counted,
        coalesce(a.seq, 0) AS last_seq,
        coalesce(a.time_ms, o.created_ms) AS last_ms
    FROM conversations AS o
    CROSS JOIN LATERAL (
        SELECT count(*) AS counted FROM messages
        WHERE conversation_id = o.id AND kind = 1
    ) AS n
    LEFT JOIN LATERAL (
        SELECT seq, time_ms FROM messages
        WHERE conversation_id = o.id AND kind IN (1, 2, 6)
        ORDER BY seq DESC
        LIMIT 1
    ) AS a ON true
    WHERE o.id = any($1::uuid [])
) AS w
WHERE
    c.id = w.id
    AND (c.number, c.active_seq, c.active_ms) <> (w.counted, w.last_seq, w.last_ms)
