SELECT other_id AS "other_id!: String" FROM invitations WHERE user_id = ?1 AND time_ms > ?2
