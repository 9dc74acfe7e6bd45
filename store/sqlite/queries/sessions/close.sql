-- ?1: [[user, device, expiry_s, closed_ms], ...]: only those that are kept.
UPDATE sessions SET expiry_s = e.expiry_s, closed_ms = e.closed_ms
FROM (
    SELECT
        value ->> 0 AS user_id,
        value ->> 1 AS device_id,
        value ->> 2 AS expiry_s,
        value ->> 3 AS closed_ms
    FROM json_each(?1)
) AS e
WHERE sessions.user_id = e.user_id AND sessions.device_id = e.device_id
