-- In place of an earlier one of the same subject.
INSERT INTO notices (user_id, feed, subject, seq, device, time_ms, body)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (user_id, feed, subject) DO UPDATE
SET seq = excluded.seq, device = excluded.device, time_ms = excluded.time_ms, body = excluded.body
