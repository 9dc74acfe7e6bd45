-- ?1: [[user, milliseconds], ...]; never back. A row that is made here stands for nothing set.
INSERT INTO users (id, name, share_reads, share_presence, version, created_ms, last_seen_ms)
SELECT value ->> 0, '', 1, 1, 0, 0, max(value ->> 1)
FROM json_each(?1)
GROUP BY value ->> 0
ON CONFLICT (id) DO UPDATE SET
    last_seen_ms = max(coalesce(users.last_seen_ms, 0), excluded.last_seen_ms)
