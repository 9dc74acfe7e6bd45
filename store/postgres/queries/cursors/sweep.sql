-- Forgets a device's cursors in the next conversations of its user above $3, at most $4 of them; tells
-- the last one, or nothing when these were the last.
WITH page AS MATERIALIZED (
    SELECT conversation_id FROM members
    WHERE
        user_id = $1 AND left_seq IS NULL AND ($3::uuid IS NULL OR conversation_id > $3)
    ORDER BY conversation_id
    LIMIT $4
),

gone AS (
    DELETE FROM cursors AS k
    USING page AS p
    WHERE k.conversation_id = p.conversation_id AND k.user_id = $1 AND k.device_id = $2
)

SELECT conversation_id FROM page ORDER BY conversation_id OFFSET $4 - 1
