-- Until the end of the transaction, only one asks in this user's name. The first number (the letters
-- "invi") keeps these locks apart from others.
SELECT pg_advisory_xact_lock(1768846953, hashtext($1)) IS NULL AS "locked!"
