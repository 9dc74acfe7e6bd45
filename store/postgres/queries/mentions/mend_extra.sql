-- Rows that are not due, as in mentions/check.
DELETE FROM mentions AS n
WHERE
    n.conversation_id = any($1::uuid [])
    AND (
        NOT EXISTS (
            SELECT FROM messages AS m
            WHERE
                m.conversation_id = n.conversation_id AND m.seq = n.seq
                AND n.user_id = any(string_to_array(m.mentions, ' ')) AND m.sender <> n.user_id
        )
        OR EXISTS (
            SELECT FROM members AS s
            WHERE
                s.conversation_id = n.conversation_id AND s.user_id = n.user_id
                AND s.left_seq > n.seq
        )
    )
