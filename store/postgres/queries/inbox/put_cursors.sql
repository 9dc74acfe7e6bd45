-- Moves cursors or makes them; what is read is not marked unread any more. The moves come in the
-- order of their keys, each key once.
INSERT INTO inbox AS i (
    conversation_id, user_id, delivered_seq, read_seq, archived, marked_unread
)
SELECT
    unnest($1::uuid []), unnest($2::text []), unnest($3::bigint []), unnest($4::bigint []),
    false, false
ON CONFLICT (conversation_id, user_id) DO UPDATE SET
    delivered_seq = excluded.delivered_seq,
    read_seq = excluded.read_seq,
    marked_unread = i.marked_unread AND excluded.read_seq <= i.read_seq
