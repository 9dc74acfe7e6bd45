INSERT INTO subscriptions (user_id, device_id, filter, options, identifier)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (user_id, device_id, filter)
DO UPDATE SET options = excluded.options, identifier = excluded.identifier
