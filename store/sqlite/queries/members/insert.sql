-- ?2: [[user, role, joined_seq, visible_seq, tag, blocked], ...].
INSERT INTO members (
    conversation_id, user_id, left_seq, role, joined_seq, visible_seq, tag, blocked
)
SELECT
    ?1,
    value ->> 0,
    NULL,
    value ->> 1,
    value ->> 2,
    value ->> 3,
    value ->> 4,
    value ->> 5
FROM json_each(?2)
