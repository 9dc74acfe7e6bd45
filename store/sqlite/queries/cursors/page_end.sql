-- The conversation of a user that ends the next page above ?2 (every id is above the empty blob) of ?3
-- conversations; none: fewer are left.
SELECT conversation_id FROM members
WHERE user_id = ?1 AND left_seq IS NULL AND conversation_id > ?2
ORDER BY conversation_id
LIMIT 1 OFFSET ?3 - 1
