-- Deleted messages and their edits (kind 3) lose their bodies and no longer say whom they name.
UPDATE messages AS m SET body = '', body_gone = true, mentions = NULL
FROM (
    SELECT
        unnest($1::uuid []) AS conversation_id,
        unnest($2::bigint []) AS seq
) AS d
CROSS JOIN LATERAL (
    SELECT o.seq FROM messages AS o
    WHERE o.conversation_id = d.conversation_id AND o.seq = d.seq
    UNION ALL
    SELECT o.seq FROM messages AS o
    WHERE o.conversation_id = d.conversation_id AND o.target_seq = d.seq AND o.kind = 3
) AS e
WHERE m.conversation_id = d.conversation_id AND m.seq = e.seq
