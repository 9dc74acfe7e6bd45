-- A device that connects at the moment is held by somebody else, and left.
DELETE FROM devices AS d
USING (
    SELECT user_id, device_id FROM devices
    WHERE connected_ms = 0 AND revoked_ms IS NOT NULL AND revoked_ms < $1 AND NOT barred
    ORDER BY revoked_ms
    LIMIT $2
    FOR UPDATE SKIP LOCKED
) AS due
WHERE d.user_id = due.user_id AND d.device_id = due.device_id
RETURNING d.user_id, d.device_id
