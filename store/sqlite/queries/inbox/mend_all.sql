-- Takes users' cursors that stand above the head back to it, in conversations above ?1 and up to ?2
-- (null: to the end).
UPDATE inbox
SET delivered_seq = min(delivered_seq, c.head_seq), read_seq = min(read_seq, c.head_seq)
FROM conversations AS c
WHERE
    c.id > ?1 AND (?2 IS NULL OR c.id <= ?2) AND inbox.conversation_id = c.id
    AND (delivered_seq > c.head_seq OR read_seq > c.head_seq)
