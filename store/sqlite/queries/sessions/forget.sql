-- ?1: [[user, device], ...]. Subscriptions go with their session.
DELETE FROM sessions
WHERE (user_id, device_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
