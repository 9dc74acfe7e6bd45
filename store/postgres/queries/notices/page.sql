SELECT seq, subject, device, time_ms, body
FROM notices
WHERE user_id = $1 AND feed = $2 AND seq > $3
ORDER BY seq
LIMIT $4
