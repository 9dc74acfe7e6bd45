-- For one transaction that may take its time; milliseconds.
SELECT set_config('statement_timeout', $1, true) AS "statement_timeout!"
