-- ?2: [[user, role], ...]. Each row names the conversation, so that members are sought one by one.
WITH r AS MATERIALIZED (
    SELECT ?1 AS conversation_id, value ->> 0 AS user_id, value ->> 1 AS role FROM json_each(?2)
)

UPDATE members SET role = r.role
FROM r
WHERE
    members.conversation_id = r.conversation_id AND members.user_id = r.user_id
    AND members.left_seq IS NULL
