-- Devices of the user, besides ?2, that were revoked and never connected; and whether ?2 is there.
SELECT
    count(*) FILTER (WHERE device_id <> ?2 AND connected_ms = 0 AND revoked_ms IS NOT NULL)
        AS "unseen!: i64",
    count(*) FILTER (WHERE device_id = ?2) > 0 AS "known!: bool"
FROM devices
WHERE user_id = ?1
