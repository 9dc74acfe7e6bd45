-- Ends with the connection. "godw" in ASCII, and one for the whole store.
SELECT pg_try_advisory_lock(1735353463, 1) AS "held!"
