-- ?2: [user, ...].
DELETE FROM inbox
WHERE conversation_id = ?1 AND user_id IN (SELECT value FROM json_each(?2))
