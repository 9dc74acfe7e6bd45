-- Subscriptions go with their session.
DELETE FROM sessions AS s
USING unnest($1::text [], $2::text []) AS d (user_id, device_id)
WHERE s.user_id = d.user_id AND s.device_id = d.device_id
