DELETE FROM request_keys AS k
USING (
    SELECT caller, key FROM request_keys
    WHERE created_ms <= $1
    ORDER BY created_ms
    LIMIT $2
    FOR UPDATE SKIP LOCKED
) AS due
WHERE k.caller = due.caller AND k.key = due.key
