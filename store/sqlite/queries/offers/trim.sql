-- The oldest of a user go that are more than ?2.
DELETE FROM offers
WHERE
    user_id = ?1
    AND conversation_id IN (
        SELECT o.conversation_id FROM offers AS o
        WHERE o.user_id = ?1
        ORDER BY o.time_ms DESC, o.conversation_id DESC
        LIMIT -1 OFFSET ?2
    )
