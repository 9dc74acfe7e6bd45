-- Heads and cursors of present members; no row: no member. A cursor is null without a row of its own.
SELECT
    s.place AS "place!",
    c.head_seq,
    i.delivered_seq AS "delivered_seq?",
    i.read_seq AS "read_seq?"
FROM (
    SELECT
        unnest($1::uuid []) AS conversation_id,
        unnest($2::text []) AS user_id,
        generate_series(1, cardinality($1::uuid [])) AS place
) AS s
CROSS JOIN LATERAL (
    SELECT role FROM members
    WHERE conversation_id = s.conversation_id AND user_id = s.user_id AND left_seq IS NULL
    LIMIT 1
) AS m
CROSS JOIN LATERAL (
    SELECT head_seq FROM conversations
    WHERE id = s.conversation_id
    LIMIT 1
) AS c
LEFT JOIN LATERAL (
    SELECT delivered_seq, read_seq FROM inbox
    WHERE conversation_id = s.conversation_id AND user_id = s.user_id
    LIMIT 1
) AS i ON true
