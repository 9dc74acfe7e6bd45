-- What a batch touches: for each send its conversation's head, whether the sender is a member, and
-- what its key was committed as before. LIMIT keeps each look-up a probe of an index, whatever the
-- planner believes of the tables' sizes. Arrays are unnested side by side in the select list: in
-- FROM each would be written to a store of its own first.
SELECT
    s.place AS "place!",
    c.head_seq AS "head_seq?",
    c.head_chain AS "head_chain?",
    c.group_version AS "group_version?",
    (m.role IS NOT NULL) AS "is_member!",
    e.message_id AS "message_id?",
    e.seq AS "seq?"
FROM (
    SELECT
        unnest($1::uuid []) AS conversation_id,
        unnest($2::text []) AS user_id,
        unnest($3::text []) AS device_id,
        unnest($4::text []) AS cmid,
        generate_series(1, cardinality($1::uuid [])) AS place
) AS s
LEFT JOIN LATERAL (
    SELECT head_seq, head_chain, group_version FROM conversations
    WHERE id = s.conversation_id
    LIMIT 1
) AS c ON true
LEFT JOIN LATERAL (
    SELECT role FROM members
    WHERE conversation_id = s.conversation_id AND user_id = s.user_id AND left_seq IS NULL
    LIMIT 1
) AS m ON true
LEFT JOIN LATERAL (
    SELECT message_id, seq FROM messages
    WHERE
        conversation_id = s.conversation_id AND sender = s.user_id AND device = s.device_id
        AND cmid = s.cmid
    LIMIT 1
) AS e ON true
