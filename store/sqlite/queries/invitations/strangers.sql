-- Those of ?2 (a JSON array of users) who have never said or made anything in a direct conversation
-- with the user.
SELECT DISTINCT CAST(u.value AS TEXT) AS "user_id!: String"
FROM json_each(?2) AS u
WHERE NOT EXISTS (
    SELECT 1 FROM direct_pairs AS p
    INNER JOIN messages AS m ON m.conversation_id = p.conversation_id AND m.sender = u.value
    WHERE p.low_id = min(?1, u.value) AND p.high_id = max(?1, u.value)
)
