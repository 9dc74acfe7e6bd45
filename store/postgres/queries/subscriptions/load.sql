SELECT s.user_id, s.device_id, s.filter, s.options, s.identifier
FROM unnest($1::text [], $2::text []) AS d (user_id, device_id)
INNER JOIN subscriptions AS s ON s.user_id = d.user_id AND s.device_id = d.device_id
ORDER BY s.user_id, s.device_id, s.filter
