-- Whether this session is (still) expired; it stays so until the end of the transaction.
SELECT 1 AS "one!" FROM sessions
WHERE
    user_id = $1 AND device_id = $2
    AND closed_ms IS NOT NULL AND closed_ms + expiry_s * 1000 <= $3
FOR UPDATE
