-- Rows that are not due, as in mentions/check.
DELETE FROM mentions AS n
WHERE
    n.conversation_id = any($1::uuid [])
    AND NOT EXISTS (
        SELECT FROM messages AS m
        LEFT JOIN LATERAL (
            SELECT seq, mentions FROM messages
            WHERE conversation_id = m.conversation_id AND target_seq = m.seq AND kind = 3
            ORDER BY seq DESC
            LIMIT 1
        ) AS e ON true
        WHERE
            m.conversation_id = n.conversation_id AND m.seq = n.seq AND m.kind = 1
            AND m.sender <> n.user_id
            AND n.user_id = any(
                string_to_array(CASE WHEN e.seq IS NULL THEN m.mentions ELSE e.mentions END, ' ')
            )
            AND NOT EXISTS (
                SELECT FROM members AS s
                WHERE
                    s.conversation_id = n.conversation_id AND s.user_id = n.user_id
                    AND s.left_seq > coalesce(e.seq, m.seq)
            )
    )
