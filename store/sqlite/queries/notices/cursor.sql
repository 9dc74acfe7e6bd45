SELECT seq AS "seq!: i64" FROM notice_cursors WHERE user_id = ?1 AND device_id = ?2 AND feed = ?3
