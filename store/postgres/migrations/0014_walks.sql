-- When a conversation last moved in inboxes, and when a user's marks last moved it in the user's own: the
-- number of the transaction. What a walk through an inbox has seen is known by these, not by times.
ALTER TABLE conversations ADD COLUMN moved bigint NOT NULL DEFAULT 0;
ALTER TABLE inbox ADD COLUMN moved bigint NOT NULL DEFAULT 0;

-- How many messages of a block of 1,024 places are gone. What is gone never comes back, so a count only
-- rises, in the transaction that lets a body go, whichever way it goes.
CREATE TABLE gone_blocks (
    conversation_id uuid NOT NULL,
    block bigint NOT NULL,
    gone bigint NOT NULL,
    CONSTRAINT gone_blocks_pk PRIMARY KEY (conversation_id, block)
);

INSERT INTO gone_blocks (conversation_id, block, gone)
SELECT conversation_id, seq / 1024, count(*) FROM messages
WHERE kind = 1 AND body_gone
GROUP BY conversation_id, seq / 1024;

-- After the messages, in the order of the keys: whoever lets messages go waits for messages before blocks
-- and for blocks in one order, so nobody waits in turn.
CREATE FUNCTION count_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO gone_blocks AS b (conversation_id, block, gone)
    SELECT n.conversation_id, n.seq / 1024, count(*)
    FROM new_rows AS n
    INNER JOIN old_rows AS o ON o.conversation_id = n.conversation_id AND o.seq = n.seq
    WHERE n.kind = 1 AND n.body_gone AND NOT o.body_gone
    GROUP BY n.conversation_id, n.seq / 1024
    ORDER BY n.conversation_id, n.seq / 1024
    ON CONFLICT (conversation_id, block) DO UPDATE SET gone = b.gone + excluded.gone;
    RETURN NULL;
END;
$$;

CREATE TRIGGER messages_gone_counted AFTER UPDATE ON messages
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION count_gone();
