-- Entries that hold another number than the log says, at most $2.
SELECT
    conversation_id,
    number,
    counted AS "counted!"
FROM (
    SELECT
        conversation_id,
        seq,
        number,
        count(*) FILTER (WHERE kind = 1) OVER (
            PARTITION BY conversation_id ORDER BY seq
        ) AS counted
    FROM messages
    WHERE conversation_id = any($1::uuid [])
) AS n
WHERE number <> counted
ORDER BY conversation_id, seq
LIMIT $2
