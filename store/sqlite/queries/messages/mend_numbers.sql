UPDATE messages SET number = n.counted
FROM (
    SELECT seq, sum(kind = 1) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS counted
    FROM messages
    WHERE conversation_id = ?1
) AS n
WHERE
    messages.conversation_id = ?1 AND messages.seq = n.seq AND messages.number <> n.counted
