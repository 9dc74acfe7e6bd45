-- Those of $2 who have never said or made anything in a direct conversation with the user.
SELECT u.id AS "user_id!"
FROM (
    SELECT DISTINCT n.id COLLATE "C" AS id
    FROM unnest($2::text []) AS n (id)
) AS u
WHERE NOT EXISTS (
    SELECT 1 FROM direct_pairs AS p
    INNER JOIN messages AS m ON m.conversation_id = p.conversation_id AND m.sender = u.id
    WHERE
        p.low_id = least($1::text COLLATE "C", u.id)
        AND p.high_id = greatest($1::text COLLATE "C", u.id)
)
