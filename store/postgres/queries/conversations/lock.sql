-- Locks heads in the order of their ids, so that two batches cannot wait for each other in turn.
SELECT id FROM conversations WHERE id = any($1::uuid []) ORDER BY id FOR UPDATE
