-- Who of the two blocks the other.
SELECT user_id AS "user_id!: String"
FROM blocks
WHERE (user_id = ?1 AND other_id = ?2) OR (user_id = ?2 AND other_id = ?1)
