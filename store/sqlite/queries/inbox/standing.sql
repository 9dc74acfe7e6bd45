-- Where cursors stand, and how many messages there are up to what was read; no row: at 0. The same parameters as inbox/read.
SELECT
    CAST(j.key AS INTEGER) AS "place!: i64",
    i.delivered_seq AS "delivered_seq!: i64",
    i.read_seq AS "read_seq!: i64",
    coalesce((
        SELECT r.number FROM messages AS r
        WHERE r.conversation_id = i.conversation_id AND r.seq = i.read_seq
    ), 0) AS "number!: i64"
FROM json_each(?1) AS j
CROSS JOIN inbox AS i
    ON i.conversation_id = substr(?2, j.value ->> 0, 16) AND i.user_id = j.value ->> 1
