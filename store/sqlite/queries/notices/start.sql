-- What came before is not told.
INSERT INTO notice_cursors (user_id, device_id, feed, seq)
SELECT
    ?1,
    ?2,
    ?3,
    coalesce((SELECT h.seq FROM notice_heads AS h WHERE h.user_id = ?1 AND h.feed = ?3), 0)
WHERE true
ON CONFLICT (user_id, device_id, feed) DO NOTHING
