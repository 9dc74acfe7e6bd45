SELECT other_id AS "other_id!: String"
FROM blocks
WHERE user_id = ?1
ORDER BY other_id
LIMIT ?2
