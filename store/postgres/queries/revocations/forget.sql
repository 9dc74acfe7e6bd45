DELETE FROM revocations AS r
USING unnest($1::text [], $2::text []) AS d (user_id, device_id)
WHERE r.user_id = d.user_id AND r.device_id = d.device_id
