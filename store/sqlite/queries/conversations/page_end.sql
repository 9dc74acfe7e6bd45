-- The conversation that ends the next page above ?1 (every id is above the empty blob) of ?2; none:
-- fewer are left.
SELECT id FROM conversations WHERE id > ?1 ORDER BY id LIMIT 1 OFFSET ?2 - 1
