SELECT
    conversation_id AS "conversation_id!: Vec<u8>",
    inviter_id AS "inviter_id!: String",
    inviter_device AS "inviter_device!: String",
    role AS "role!: i64",
    time_ms AS "time_ms!: i64"
FROM offers
WHERE user_id = ?1 AND time_ms > ?2
ORDER BY time_ms DESC, conversation_id DESC
