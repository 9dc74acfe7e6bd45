-- $2 and $3 stand side by side.
UPDATE members SET role = ($3::smallint [])[array_position($2::text [], user_id)]
WHERE conversation_id = $1 AND user_id = any($2::text []) AND left_seq IS NULL
