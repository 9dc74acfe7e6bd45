SELECT conversation_id AS "conversation_id!: Vec<u8>"
FROM direct_pairs
WHERE low_id = ?1 AND high_id = ?2
