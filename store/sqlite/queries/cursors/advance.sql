-- ?1: [[offset of the conversation in ?2, user, device, feed, seq], ...]: for kept sessions of
-- present members, forward only.
INSERT INTO cursors (conversation_id, user_id, device_id, feed, seq)
SELECT m.conversation_id, m.user_id, s.device_id, j.value ->> 3, j.value ->> 4
FROM json_each(?1) AS j
CROSS JOIN sessions AS s ON s.user_id = j.value ->> 1 AND s.device_id = j.value ->> 2
CROSS JOIN members AS m
    ON m.conversation_id = substr(?2, j.value ->> 0, 16) AND m.user_id = j.value ->> 1
    AND m.left_seq IS NULL
WHERE true
ON CONFLICT (conversation_id, user_id, device_id, feed)
DO UPDATE SET seq = excluded.seq WHERE excluded.seq > cursors.seq
