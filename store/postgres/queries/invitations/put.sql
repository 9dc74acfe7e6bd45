INSERT INTO invitations AS i (user_id, other_id, time_ms)
SELECT $1, n.id, $3
FROM unnest($2::text []) AS n (id)
ON CONFLICT (user_id, other_id) DO UPDATE SET time_ms = excluded.time_ms
WHERE i.time_ms <= $4
