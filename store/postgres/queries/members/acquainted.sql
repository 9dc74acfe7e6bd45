-- Which of $2 are in a conversation of $1. It costs what $1 has of conversations, not what is named:
-- whoever is named by a stranger may have any number. OFFSET 0 keeps the planner from turning it
-- round, LIMIT as in conversations/load.
SELECT a.id AS "user_id!"
FROM (
    SELECT DISTINCT u.id COLLATE "C" AS id
    FROM unnest($2::text []) AS u (id)
) AS a
CROSS JOIN LATERAL (
    SELECT 1
    FROM (
        SELECT conversation_id FROM members
        WHERE user_id = $1 AND left_seq IS NULL
        OFFSET 0
    ) AS mine
    CROSS JOIN LATERAL (
        SELECT 1 FROM members
        WHERE user_id = a.id AND conversation_id = mine.conversation_id AND left_seq IS NULL
        LIMIT 1
    ) AS theirs
    LIMIT 1
) AS found
ORDER BY a.id
