-- Only those that are kept.
UPDATE sessions AS s SET expiry_s = d.expiry_s, closed_ms = d.closed_ms
FROM unnest($1::text [], $2::text [], $3::bigint [], $4::bigint [])
    AS d (user_id, device_id, expiry_s, closed_ms)
WHERE s.user_id = d.user_id AND s.device_id = d.device_id
