-- Holds stays for who is about to change them, or to write what goes with them; tells how many there
-- are. The keys come in their order. LIMIT: see conversations/load.
SELECT count(*) AS "number!"
FROM (
    SELECT
        unnest($1::uuid []) AS conversation_id,
        unnest($2::text []) AS user_id
) AS s
CROSS JOIN LATERAL (
    SELECT role FROM members
    WHERE conversation_id = s.conversation_id AND user_id = s.user_id AND left_seq IS NULL
    LIMIT 1
    FOR NO KEY UPDATE
) AS m
