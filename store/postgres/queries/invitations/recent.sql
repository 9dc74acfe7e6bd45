SELECT other_id FROM invitations WHERE user_id = $1 AND time_ms > $2
