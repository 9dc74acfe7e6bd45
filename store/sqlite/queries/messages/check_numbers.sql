-- The first entry that holds another number than the log says.
SELECT number AS "number!: i64", counted AS "counted!: i64"
FROM (
    SELECT
        seq, number, sum(kind = 1) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS counted
    FROM messages
    WHERE conversation_id = ?1
)
WHERE number <> counted
ORDER BY seq
LIMIT 1
