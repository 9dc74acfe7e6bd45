-- What was asked under a key.
SELECT fingerprint AS "fingerprint?: i64"
FROM messages
WHERE conversation_id = ?1 AND sender = ?2 AND device = ?3 AND cmid = ?4
