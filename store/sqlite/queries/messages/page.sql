-- Entries above ?2 and below ?3, at most ?4, at most ?5 bytes of bodies but always one; with the head.
-- The inner query reads lengths only. One row without an entry: the range has nothing there.
SELECT
    c.head_seq AS "head_seq!: i64",
    m.seq AS "seq?: i64",
    m.message_id AS "message_id?: Vec<u8>",
    m.kind AS "kind?: i64",
    m.sender AS "sender?: String",
    m.device AS "device?: String",
    m.time_ms AS "time_ms?: i64",
    m.chain AS "chain?: Vec<u8>",
    m.reply_to AS "reply_to?: i64",
    m.target_seq AS "target_seq?: i64",
    m.mentions AS "mentions?: String",
    m.number AS "number?: i64",
    m.expires_ms AS "expires_ms?: i64",
    m.body_gone AS "body_gone?: bool",
    m.body AS "body?: Vec<u8>"
FROM conversations AS c
LEFT JOIN messages AS m
    ON m.conversation_id = c.id AND m.seq > ?2 AND m.seq <= (
        SELECT max(seq)
        FROM (
            SELECT
                seq,
                sum(bytes) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS total,
                row_number() OVER (ORDER BY seq) AS place
            FROM (
                SELECT seq, length(body) AS bytes FROM messages
                WHERE conversation_id = ?1 AND seq > ?2 AND seq < ?3
                ORDER BY seq
                LIMIT ?4
            )
        )
        WHERE total <= ?5 OR place = 1
    )
WHERE c.id = ?1
ORDER BY m.seq
