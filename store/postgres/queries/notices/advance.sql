-- Never back.
UPDATE notice_cursors SET seq = $4
WHERE user_id = $1 AND device_id = $2 AND feed = $3 AND seq < $4
