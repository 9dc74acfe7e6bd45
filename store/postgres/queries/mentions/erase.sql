-- Before the messages forget whom they name.
DELETE FROM mentions AS n
USING (
    SELECT
        m.conversation_id,
        m.seq,
        unnest(string_to_array(m.mentions, ' ')) AS user_id
    FROM (
        SELECT
            unnest($1::uuid []) AS conversation_id,
            unnest($2::bigint []) AS seq
    ) AS d
    INNER JOIN messages AS m ON m.conversation_id = d.conversation_id AND m.seq = d.seq
) AS e
WHERE n.conversation_id = e.conversation_id AND n.user_id = e.user_id AND n.seq = e.seq
