DELETE FROM outbox WHERE id = any($1::bigint [])
