-- One present member: one row, whatever the conversation's size.
SELECT
    user_id AS "user_id!: String",
    role AS "role!: i64",
    joined_seq AS "joined_seq!: i64",
    visible_seq AS "visible_seq!: i64",
    tag AS "tag!: i64",
    blocked AS "blocked!: bool"
FROM members
WHERE conversation_id = ?1 AND user_id = ?2 AND left_seq IS NULL
LIMIT 1
