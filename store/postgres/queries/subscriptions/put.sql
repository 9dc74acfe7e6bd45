INSERT INTO subscriptions (user_id, device_id, filter, options, identifier)
SELECT $1, $2, p.filter, p.options, p.identifier
FROM unnest($3::text [], $4::smallint [], $5::bigint []) AS p (filter, options, identifier)
ON CONFLICT (user_id, device_id, filter)
DO UPDATE SET options = excluded.options, identifier = excluded.identifier
