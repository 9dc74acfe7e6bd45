DELETE FROM invitations
WHERE (user_id, other_id) IN (
    SELECT user_id, other_id FROM invitations
    WHERE time_ms <= ?1
    ORDER BY time_ms
    LIMIT ?2
)
