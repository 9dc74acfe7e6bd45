SELECT count(*) AS "count!: i64" FROM blocks WHERE user_id = ?1
