-- What a batch touches: for each send its conversation's head, what the sender is there, and what
-- its key was committed as before. LIMIT keeps each look-up a probe of an index, whatever the
-- planner believes of the tables' sizes. Arrays are unnested side by side in the select list: in
-- FROM each would be written to a store of its own first.
SELECT
    s.place AS "place!",
    c.kind AS "kind?",
    c.head_seq AS "head_seq?",
    c.head_chain AS "head_chain?",
    c.group_version AS "group_version?",
    c.number AS "number?",
    c.active_seq AS "active_seq?",
    c.active_ms AS "active_ms?",
    c.expiry_s AS "expiry_s?",
    m.role AS "role?",
    m.visible_seq AS "visible_seq?",
    m.blocked AS "blocked?",
    e.message_id AS "message_id?",
    e.seq AS "seq?",
    e.fingerprint AS "fingerprint?"
FROM (
    SELECT
        unnest($1::uuid []) AS conversation_id,
        unnest($2::text []) AS user_id,
        unnest($3::text []) AS device_id,
        unnest($4::text []) AS cmid,
        generate_series(1, cardinality($1::uuid [])) AS place
) AS s
LEFT JOIN LATERAL (
    SELECT
        kind, head_seq, head_chain, group_version, number, active_seq, active_ms, expiry_s
    FROM conversations
    WHERE id = s.conversation_id
    LIMIT 1
) AS c ON true
LEFT JOIN LATERAL (
    SELECT role, visible_seq, blocked FROM members
    WHERE conversation_id = s.conversation_id AND user_id = s.user_id AND left_seq IS NULL
    LIMIT 1
) AS m ON true
LEFT JOIN LATERAL (
    SELECT message_id, seq, fingerprint FROM messages
    WHERE
        conversation_id = s.conversation_id AND sender = s.user_id AND device = s.device_id
        AND cmid = s.cmid
    LIMIT 1
) AS e ON true
