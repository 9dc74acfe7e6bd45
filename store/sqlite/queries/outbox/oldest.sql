SELECT id AS "id!: i64", conversation_id AS "conversation_id!: Vec<u8>", seq AS "seq!: i64"
FROM outbox
ORDER BY id
LIMIT ?1
