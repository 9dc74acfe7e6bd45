-- ?2: [user, ...]; all join at the same place with the same role.
INSERT INTO members (conversation_id, user_id, joined_seq, left_seq, role)
SELECT ?1, value, ?3, NULL, ?4
FROM json_each(?2)
