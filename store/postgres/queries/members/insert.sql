-- All join at the same place.
INSERT INTO members (conversation_id, joined_seq, left_seq, role, user_id)
SELECT $1, $2, NULL, role, user_id
FROM unnest($3::text [], $4::smallint []) AS m (user_id, role)
