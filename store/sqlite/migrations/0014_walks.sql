-- When a conversation last moved in inboxes, and when a user's marks last moved it in the user's own: the
-- number of the last event in the outbox then. What a walk through an inbox has seen is known by these,
-- not by times.
ALTER TABLE conversations ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE inbox ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;

-- How many messages of a block of 1,024 places are gone. What is gone never comes back, so a count only
-- rises, in the transaction that lets a body go, whichever way it goes.
CREATE TABLE gone_blocks (
    conversation_id BLOB NOT NULL,
    block INTEGER NOT NULL,
    gone INTEGER NOT NULL,
    CONSTRAINT gone_blocks_pk PRIMARY KEY (conversation_id, block)
) STRICT, WITHOUT ROWID;

INSERT INTO gone_blocks (conversation_id, block, gone)
SELECT conversation_id, seq / 1024, count(*) FROM messages
WHERE kind = 1 AND body_gone = 1
GROUP BY conversation_id, seq / 1024;

CREATE TRIGGER messages_gone_counted AFTER UPDATE OF body_gone ON messages
WHEN new.kind = 1 AND new.body_gone = 1 AND old.body_gone = 0
BEGIN
    INSERT INTO gone_blocks (conversation_id, block, gone)
    VALUES (new.conversation_id, new.seq / 1024, 1)
    ON CONFLICT (conversation_id, block) DO UPDATE SET gone = gone + 1;
END;
