-- Moves cursors or makes them, for present members; the stays are held, so that no cursor remains
-- of a user who leaves at this moment. The moves come in the order of their keys, each key once.
INSERT INTO cursors AS c (conversation_id, user_id, device_id, feed, seq)
SELECT m.conversation_id, m.user_id, m.device_id, m.feed, m.seq
FROM unnest($1::uuid [], $2::text [], $3::text [], $4::smallint [], $5::bigint [])
    AS m (conversation_id, user_id, device_id, feed, seq)
INNER JOIN members AS b
    ON b.conversation_id = m.conversation_id AND b.user_id = m.user_id AND b.left_seq IS NULL
ORDER BY m.conversation_id, m.user_id, m.device_id, m.feed
FOR SHARE OF b
ON CONFLICT (conversation_id, user_id, device_id, feed)
DO UPDATE SET seq = excluded.seq WHERE c.seq < excluded.seq
