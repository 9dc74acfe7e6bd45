-- Which of ?2 ([user, ...]) are in a conversation of ?1. It costs what ?1 has of conversations, not
-- what is named: whoever is named by a stranger may have any number.
SELECT DISTINCT CAST(j.value AS TEXT) AS "user_id!: String"
FROM json_each(?2) AS j
WHERE EXISTS (
    SELECT 1
    FROM members AS mine
    CROSS JOIN members AS theirs
        ON theirs.user_id = j.value AND theirs.conversation_id = mine.conversation_id
        AND theirs.left_seq IS NULL
    WHERE mine.user_id = ?1 AND mine.left_seq IS NULL
)
ORDER BY 1
