-- Until the end of the transaction, only this user's hand blocks or unblocks. The first number (the
-- letters "blok") keeps these locks apart from others.
SELECT pg_advisory_xact_lock(1651273579, hashtext($1)) IS NULL AS "locked!"
