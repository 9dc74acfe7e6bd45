-- Takes a number that no event has: for a move that is no entry of a log. An expression is returned, for
-- the table's own column has no type, and what checks queries does not bear that.
UPDATE sqlite_sequence SET seq = seq + 1
WHERE name = 'outbox'
RETURNING seq + 0 AS "number!: i64"
