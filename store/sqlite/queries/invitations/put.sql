-- ?2: a JSON array of users.
INSERT INTO invitations (user_id, other_id, time_ms)
SELECT
    ?1,
    value,
    ?3
FROM json_each(?2)
WHERE true
ON CONFLICT (user_id, other_id) DO UPDATE SET time_ms = excluded.time_ms
WHERE invitations.time_ms <= ?4
