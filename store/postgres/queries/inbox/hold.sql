-- Locks rows. The keys come in their order. LIMIT: see conversations/load.
SELECT count(*) AS "number!"
FROM (
    SELECT
        unnest($1::uuid []) AS conversation_id,
        unnest($2::text []) AS user_id
) AS s
CROSS JOIN LATERAL (
    SELECT read_seq FROM inbox
    WHERE conversation_id = s.conversation_id AND user_id = s.user_id
    LIMIT 1
    FOR UPDATE
) AS i
