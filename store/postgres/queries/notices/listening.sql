-- Of which of the users $1 a kept session listens. LIMIT: see conversations/load.
SELECT u.id AS "user_id!"
FROM (
    SELECT DISTINCT n.id COLLATE "C" AS id
    FROM unnest($1::text []) AS n (id)
) AS u
CROSS JOIN LATERAL (
    SELECT c.seq FROM notice_cursors AS c
    WHERE c.user_id = u.id
    LIMIT 1
) AS l
