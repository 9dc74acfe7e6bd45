UPDATE messages AS m SET number = n.counted
FROM (
    SELECT
        conversation_id,
        seq,
        count(*) FILTER (WHERE kind = 1) OVER (
            PARTITION BY conversation_id ORDER BY seq
        ) AS counted
    FROM messages
    WHERE conversation_id = any($1::uuid [])
) AS n
WHERE m.conversation_id = n.conversation_id AND m.seq = n.seq AND m.number <> n.counted
