-- All join at the same place; tags are given in the order of the users.
INSERT INTO members (
    conversation_id, joined_seq, left_seq, role, user_id, visible_seq, tag, blocked
)
SELECT $1, $2, NULL, role, user_id, $3, $4 + place - 1, blocked
FROM unnest($5::text [], $6::smallint [], $7::boolean [])
    WITH ORDINALITY AS m (user_id, role, blocked, place)
