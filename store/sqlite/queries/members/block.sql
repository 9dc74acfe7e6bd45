-- In the direct conversations (1) of ?1 and ?2, of ?2, where it is not so already.
UPDATE members SET blocked = ?3
WHERE
    user_id = ?2 AND left_seq IS NULL AND blocked <> ?3
    AND conversation_id IN (
        SELECT c.id
        FROM members AS m
        CROSS JOIN conversations AS c ON c.id = m.conversation_id AND c.kind = 1
        WHERE m.user_id = ?1 AND m.left_seq IS NULL
    )
RETURNING conversation_id AS "conversation_id!: Vec<u8>"
