-- Which of ?2 ([user, ...]) block ?1.
SELECT DISTINCT b.user_id AS "user_id!: String"
FROM json_each(?2) AS j
CROSS JOIN blocks AS b ON b.user_id = j.value AND b.other_id = ?1
ORDER BY b.user_id
