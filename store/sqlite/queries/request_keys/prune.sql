DELETE FROM request_keys
WHERE (caller, "key") IN (
    SELECT caller, "key" FROM request_keys
    WHERE created_ms <= ?1
    ORDER BY created_ms
    LIMIT ?2
)
