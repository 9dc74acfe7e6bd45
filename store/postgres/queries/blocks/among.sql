-- Which of $2 block the user. LIMIT: see conversations/load.
SELECT b.user_id
FROM (
    SELECT DISTINCT u.id COLLATE "C" AS id
    FROM unnest($2::text []) AS u (id)
) AS a
CROSS JOIN LATERAL (
    SELECT user_id FROM blocks
    WHERE user_id = a.id AND other_id = $1
    LIMIT 1
) AS b
ORDER BY b.user_id
