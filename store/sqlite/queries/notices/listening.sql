-- Of which of the users ?1 (a JSON array) a kept session listens.
SELECT DISTINCT c.user_id AS "user_id!: String"
FROM json_each(?1) AS u
INNER JOIN notice_cursors AS c ON c.user_id = u.value
