-- Moves cursors, if every row still stands where it was found ($3 delivered, $4 read): a row that
-- stands is a present member's. Nothing is written when one does not. What is read is not marked
-- unread any more. The moves come in the order of their keys, each key once.
WITH moves AS MATERIALIZED (
    SELECT
        unnest($1::uuid []) AS conversation_id,
        unnest($2::text []) AS user_id,
        unnest($3::bigint []) AS found_delivered,
        unnest($4::bigint []) AS found_read,
        unnest($5::bigint []) AS delivered_seq,
        unnest($6::bigint []) AS read_seq
),

locked AS MATERIALIZED (
    SELECT i.user_id FROM moves AS m
    INNER JOIN inbox AS i
        ON i.conversation_id = m.conversation_id AND i.user_id = m.user_id
        AND i.delivered_seq = m.found_delivered AND i.read_seq = m.found_read
    ORDER BY i.conversation_id, i.user_id
    FOR UPDATE OF i
),

verdict AS MATERIALIZED (
    SELECT count(*) = cardinality($1::uuid []) AS stands FROM locked
),

moved AS (
    UPDATE inbox AS i
    SET
        delivered_seq = m.delivered_seq,
        read_seq = m.read_seq,
        marked_unread = i.marked_unread AND m.read_seq <= m.found_read
    FROM moves AS m
    WHERE
        i.conversation_id = m.conversation_id AND i.user_id = m.user_id
        AND (SELECT stands FROM verdict)
)

SELECT stands AS "stands!" FROM verdict
