-- Moves cursors that stand already, forward only, if all of them do; tells how many do not. The
-- moves come in the order of their keys, each key once.
WITH moves AS MATERIALIZED (
    SELECT m.*, k.seq AS standing
    FROM unnest($1::uuid [], $2::text [], $3::text [], $4::smallint [], $5::bigint [])
        AS m (conversation_id, user_id, device_id, feed, seq)
    LEFT JOIN LATERAL (
        SELECT c.seq FROM cursors AS c
        WHERE
            c.conversation_id = m.conversation_id AND c.user_id = m.user_id
            AND c.device_id = m.device_id AND c.feed = m.feed
        LIMIT 1
    ) AS k ON true
),

missing AS MATERIALIZED (
    SELECT count(*) AS number FROM moves WHERE standing IS NULL
),

moved AS (
    UPDATE cursors AS c SET seq = m.seq
    FROM moves AS m
    WHERE
        c.conversation_id = m.conversation_id AND c.user_id = m.user_id
        AND c.device_id = m.device_id AND c.feed = m.feed
        AND c.seq < m.seq AND m.seq > m.standing AND (SELECT number FROM missing) = 0
)

SELECT number AS "number!" FROM missing
