-- What was decided before is not good any more.
UPDATE conversations SET group_version = group_version + 1 WHERE id = any($1::uuid [])
