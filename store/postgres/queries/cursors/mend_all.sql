-- Takes cursors that stand above the head back to it, in conversations above $1, at most $2 of them;
-- tells how many cursors, and the last conversation looked at when there are more.
WITH page AS MATERIALIZED (
    SELECT id, head_seq FROM conversations
    WHERE $1::uuid IS NULL OR id > $1
    ORDER BY id
    LIMIT $2
),

mended AS (
    UPDATE cursors AS k SET seq = p.head_seq
    FROM page AS p
    WHERE k.conversation_id = p.id AND k.seq > p.head_seq
    RETURNING 1
)

SELECT
    (SELECT count(*) FROM mended) AS "mended!",
    (SELECT id FROM page ORDER BY id OFFSET $2 - 1) AS "next"
