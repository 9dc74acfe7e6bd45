SELECT
    seq AS "seq!: i64",
    message_id AS "message_id!: Vec<u8>",
    kind AS "kind!: i64",
    sender AS "sender!: String",
    device AS "device!: String",
    time_ms AS "time_ms!: i64",
    chain AS "chain!: Vec<u8>",
    reply_to AS "reply_to?: i64",
    target_seq AS "target_seq?: i64",
    mentions AS "mentions?: String",
    number AS "number!: i64",
    expires_ms AS "expires_ms?: i64",
    body_gone AS "body_gone!: bool",
    body AS "body!: Vec<u8>"
FROM messages
WHERE conversation_id = ?1 AND sender = ?2 AND device = ?3 AND cmid = ?4
