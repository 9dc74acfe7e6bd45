-- Cursors beyond the head come back to it. Rows are locked in the order of their keys.
UPDATE inbox AS i
SET
    delivered_seq = least(i.delivered_seq, b.head_seq), read_seq = least(i.read_seq, b.head_seq)
FROM (
    SELECT o.conversation_id, o.user_id, c.head_seq
    FROM conversations AS c
    INNER JOIN inbox AS o ON o.conversation_id = c.id
    WHERE c.id = any($1::uuid []) AND (o.delivered_seq > c.head_seq OR o.read_seq > c.head_seq)
    ORDER BY o.conversation_id, o.user_id
    FOR UPDATE OF o
) AS b
WHERE i.conversation_id = b.conversation_id AND i.user_id = b.user_id
