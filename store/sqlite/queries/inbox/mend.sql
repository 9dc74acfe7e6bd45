-- Cursors beyond the head come back to it.
UPDATE inbox
SET delivered_seq = min(delivered_seq, c.head_seq), read_seq = min(read_seq, c.head_seq)
FROM conversations AS c
WHERE
    c.id = ?1 AND inbox.conversation_id = c.id
    AND (delivered_seq > c.head_seq OR read_seq > c.head_seq)
