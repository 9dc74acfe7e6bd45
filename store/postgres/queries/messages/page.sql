-- Entries above $2 and below $3, at most $4, at most $5 bytes of bodies but always one; with the
-- head. Lengths are known without reading the bodies. One row without an entry: the log has nothing
-- there.
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
    ON m.conversation_id = c.id AND m.seq > $2 AND m.seq < $3 AND m.seq <= (
        SELECT max(fitting.seq)
        FROM (
            SELECT
                near.seq,
                sum(near.bytes) OVER (ORDER BY near.seq ROWS UNBOUNDED PRECEDING) AS total,
                row_number() OVER (ORDER BY near.seq) AS place
            FROM (
                SELECT seq, octet_length(body) AS bytes FROM messages
                WHERE conversation_id = $1 AND seq > $2 AND seq < $3
                ORDER BY seq
                LIMIT $4
            ) AS near
        ) AS fitting
        WHERE fitting.total <= $5 OR fitting.place = 1
    )
WHERE c.id = $1
ORDER BY m.seq
