-- The next place among the notices of a user and feed, if a kept session listens that has not done
-- it itself (?3: the device whose doing it was, or null).
INSERT INTO notice_heads (user_id, feed, seq)
SELECT
    ?1,
    ?2,
    1
WHERE EXISTS (
    SELECT 1 FROM notice_cursors
    WHERE user_id = ?1 AND feed = ?2 AND (?3 IS NULL OR device_id <> ?3)
)
ON CONFLICT (user_id, feed) DO UPDATE SET seq = seq + 1
RETURNING seq AS "seq!: i64"
