-- Takes cursors, of devices and of users, that stand above the head back to it, in conversations above $1, at most $2 of them;
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
),

receipts AS (
    UPDATE inbox AS i
    SET
        delivered_seq = least(i.delivered_seq, p.head_seq),
        read_seq = least(i.read_seq, p.head_seq)
    FROM page AS p
    WHERE
        i.conversation_id = p.id
        AND (i.delivered_seq > p.head_seq OR i.read_seq > p.head_seq)
    RETURNING 1
)

SELECT
    (SELECT count(*) FROM mended) + (SELECT count(*) FROM receipts) AS "mended!",
    (SELECT id FROM page ORDER BY id OFFSET $2 - 1) AS "next"
