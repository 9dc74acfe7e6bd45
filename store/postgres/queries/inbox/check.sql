-- Cursors beyond the head.
SELECT
    i.conversation_id,
    i.user_id,
    i.delivered_seq,
    i.read_seq,
    c.head_seq
FROM conversations AS c
INNER JOIN inbox AS i ON i.conversation_id = c.id
WHERE c.id = any($1::uuid []) AND (i.delivered_seq > c.head_seq OR i.read_seq > c.head_seq)
ORDER BY i.conversation_id, i.user_id
LIMIT $2
