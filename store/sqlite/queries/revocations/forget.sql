-- ?1: [[user, device], ...].
DELETE FROM revocations
WHERE (user_id, device_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
