-- Empties deleted messages and their edits (kind 3). ?1: [[offset of the conversation in ?2, seq],
-- ...].
UPDATE messages SET body = x'', body_gone = 1, mentions = NULL
FROM (
    SELECT substr(?2, value ->> 0, 16) AS conversation_id, value ->> 1 AS seq FROM json_each(?1)
    UNION ALL
    SELECT e.conversation_id, e.seq
    FROM json_each(?1) AS j
    CROSS JOIN messages AS e
        ON e.conversation_id = substr(?2, j.value ->> 0, 16) AND e.target_seq = j.value ->> 1
        AND e.kind = 3
) AS gone
WHERE messages.conversation_id = gone.conversation_id AND messages.seq = gone.seq
