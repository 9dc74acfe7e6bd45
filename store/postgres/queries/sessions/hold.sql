-- Which of these are kept; they stay so until the end of the transaction.
SELECT s.user_id, s.device_id
FROM unnest($1::text [], $2::text []) AS d (user_id, device_id)
INNER JOIN sessions AS s ON s.user_id = d.user_id AND s.device_id = d.device_id
ORDER BY s.user_id, s.device_id
FOR SHARE OF s
