-- Which of two users is blocked by the other.
SELECT other_id FROM blocks
WHERE (user_id = $1 AND other_id = $2) OR (user_id = $2 AND other_id = $1)
