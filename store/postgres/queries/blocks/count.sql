SELECT count(*) AS "number!" FROM blocks WHERE user_id = $1
