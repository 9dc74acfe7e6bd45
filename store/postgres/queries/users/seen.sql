-- Never back. A row that is made here says nothing else (version 0). In the order of the ids, each
-- once.
INSERT INTO users AS u (
    id, name, share_reads, share_presence, version, created_ms, last_seen_ms
)
SELECT s.id, '', $3, $4, 0, 0, s.seen_ms
FROM unnest($1::text [], $2::bigint []) AS s (id, seen_ms)
ON CONFLICT (id) DO UPDATE SET last_seen_ms = excluded.last_seen_ms
WHERE u.last_seen_ms IS NULL OR u.last_seen_ms < excluded.last_seen_ms
