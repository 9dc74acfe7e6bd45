DELETE FROM invitations AS i
USING (
    SELECT user_id, other_id FROM invitations
    WHERE time_ms <= $1
    ORDER BY time_ms
    LIMIT $2
    FOR UPDATE SKIP LOCKED
) AS due
WHERE i.user_id = due.user_id AND i.other_id = due.other_id
