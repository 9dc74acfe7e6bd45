-- As messages/page, from the end of the range, falling.
SELECT
    c.head_seq,
    m.seq AS "seq?",
    m.message_id AS "message_id?",
    m.kind AS "kind?",
    m.sender AS "sender?",
    m.device AS "device?",
    m.time_ms AS "time_ms?",
    m.chain AS "chain?",
    m.number AS "number?",
    m.reply_to AS "reply_to?",
    m.target_seq AS "target_seq?",
    m.mentions AS "mentions?",
    m.expires_ms AS "expires_ms?",
    m.body_gone AS "body_gone?",
    m.body AS "body?"
FROM conversations AS c
LEFT JOIN messages AS m
    ON m.conversation_id = c.id AND m.seq > $2 AND m.seq < $3 AND m.seq >= (
        SELECT min(fitting.seq)
        FROM (
            SELECT
                near.seq,
                sum(near.bytes) OVER (ORDER BY near.seq DESC ROWS UNBOUNDED PRECEDING) AS total,
                row_number() OVER (ORDER BY near.seq DESC) AS place
            FROM (
                SELECT seq, octet_length(body) AS bytes FROM messages
                WHERE conversation_id = $1 AND seq > $2 AND seq < $3
                ORDER BY seq DESC
                LIMIT $4
            ) AS near
        ) AS fitting
        WHERE fitting.total <= $5 OR fitting.place = 1
    )
WHERE c.id = $1
ORDER BY m.seq DESC
