-- Those of a user's devices; that of the user stays.
DELETE FROM revocations WHERE user_id = ?1 AND device_id <> ''
