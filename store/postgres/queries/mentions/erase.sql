-- Before the messages forget whom they name, they or their edits (kind 3).
DELETE FROM mentions AS n
USING (
    SELECT
        d.conversation_id,
        d.seq,
        unnest(string_to_array(m.mentions, ' ')) AS user_id
    FROM (
        SELECT
            unnest($1::uuid []) AS conversation_id,
            unnest($2::bigint []) AS seq
    ) AS d
    CROSS JOIN LATERAL (
        SELECT o.mentions FROM messages AS o
        WHERE o.conversation_id = d.conversation_id AND o.seq = d.seq
        UNION ALL
        SELECT o.mentions FROM messages AS o
        WHERE o.conversation_id = d.conversation_id AND o.target_seq = d.seq AND o.kind = 3
    ) AS m
) AS e
WHERE n.conversation_id = e.conversation_id AND n.user_id = e.user_id AND n.seq = e.seq
