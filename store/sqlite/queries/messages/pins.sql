-- The newest pin (7) of each message that is there and was not unpinned (8) since, the last first.
SELECT
    p.seq AS "seq!: i64",
    p.message_id AS "message_id!: Vec<u8>",
    p.kind AS "kind!: i64",
    p.sender AS "sender!: String",
    p.device AS "device!: String",
    p.time_ms AS "time_ms!: i64",
    p.chain AS "chain!: Vec<u8>",
    p.reply_to AS "reply_to?: i64",
    p.target_seq AS "target_seq?: i64",
    p.mentions AS "mentions?: String",
    p.number AS "number!: i64",
    p.expires_ms AS "expires_ms?: i64",
    p.body_gone AS "body_gone!: bool",
    p.body AS "body!: Vec<u8>"
FROM messages AS p INDEXED BY messages_pins
CROSS JOIN messages AS t
    ON t.conversation_id = p.conversation_id AND t.seq = p.target_seq AND t.body_gone = 0
WHERE
    p.conversation_id = ?1 AND p.kind IN (7, 8) AND p.kind = 7
    AND NOT EXISTS (
        SELECT 1 FROM messages AS later INDEXED BY messages_by_target
        WHERE
            later.conversation_id = ?1 AND later.target_seq = p.target_seq
            AND later.kind IN (7, 8) AND later.seq > p.seq
    )
ORDER BY p.seq DESC
LIMIT ?2
