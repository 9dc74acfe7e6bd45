-- Above (?2, ?3), also stays that are over.
SELECT
    user_id AS "user_id!: String",
    role AS "role!: i64",
    joined_seq AS "joined_seq!: i64",
    visible_seq AS "visible_seq!: i64",
    tag AS "tag!: i64",
    blocked AS "blocked!: bool",
    left_seq AS "left_seq?: i64"
FROM members
WHERE conversation_id = ?1 AND (joined_seq, user_id) > (?2, ?3)
ORDER BY joined_seq, user_id
LIMIT ?4
