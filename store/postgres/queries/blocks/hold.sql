-- Until the end of the transaction, nobody blocks or unblocks by the hand of these users. In their
-- order; numbers as in blocks/lock.
SELECT count(pg_advisory_xact_lock_shared(1651273579, hashtext(u.id)) IS NULL) AS "number!"
FROM unnest($1::text []) AS u (id)
