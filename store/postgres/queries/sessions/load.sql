-- Locked in the order of the names, so that two batches cannot wait for each other in turn.
SELECT s.user_id, s.device_id, s.expiry_s, s.closed_ms
FROM unnest($1::text [], $2::text []) AS d (user_id, device_id)
INNER JOIN sessions AS s ON s.user_id = d.user_id AND s.device_id = d.device_id
ORDER BY s.user_id, s.device_id
FOR UPDATE OF s
