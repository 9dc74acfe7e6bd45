DELETE FROM subscriptions WHERE user_id = $1 AND device_id = $2 AND filter = any($3::text [])
