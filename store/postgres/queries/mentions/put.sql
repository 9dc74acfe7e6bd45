INSERT INTO mentions (conversation_id, user_id, seq)
SELECT unnest($1::uuid []), unnest($2::text []), unnest($3::bigint [])
