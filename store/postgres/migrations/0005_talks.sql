-- One direct conversation for a pair, what was asked under a key, what users are told beside their
-- conversations, and whom they have asked into conversations.

-- The pair in its order; twice the same user: a conversation with oneself. Of several that were made
-- before, the oldest is the one. No commit touches it: only creations and look-ups.
CREATE TABLE direct_pairs (
    conversation_id uuid NOT NULL,
    low_id text COLLATE "C" NOT NULL,
    high_id text COLLATE "C" NOT NULL,
    CONSTRAINT direct_pairs_pk PRIMARY KEY (low_id, high_id)
);

INSERT INTO direct_pairs (conversation_id, low_id, high_id)
SELECT DISTINCT ON (p.low_id, p.high_id)
    c.id,
    p.low_id,
    p.high_id
FROM conversations AS c
CROSS JOIN LATERAL (
    SELECT
        min(m.user_id) AS low_id,
        max(m.user_id) AS high_id
    FROM members AS m
    WHERE m.conversation_id = c.id AND m.left_seq IS NULL
) AS p
WHERE c.kind = 1 AND p.low_id IS NOT NULL
ORDER BY p.low_id, p.high_id, c.created_ms, c.id;

-- Null: a key of before, or one that nobody can use again; nothing is compared.
ALTER TABLE messages ADD COLUMN fingerprint bigint;

-- What a user's kept sessions are to be told on a feed (3: control, 4: own devices): numbered for
-- each user and feed, the latest of each subject only. device: whose doing it was.
CREATE TABLE notice_heads (
    seq bigint NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    feed smallint NOT NULL,
    CONSTRAINT notice_heads_pk PRIMARY KEY (user_id, feed)
) WITH (fillfactor = 80);

CREATE TABLE notices (
    seq bigint NOT NULL,
    time_ms bigint NOT NULL,
    feed smallint NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    device text COLLATE "C",
    body text NOT NULL,
    CONSTRAINT notices_pk PRIMARY KEY (user_id, feed, subject)
);

CREATE UNIQUE INDEX notices_by_seq ON notices (user_id, feed, seq);
CREATE INDEX notices_by_age ON notices (time_ms);

CREATE TABLE notice_cursors (
    seq bigint NOT NULL,
    feed smallint NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    CONSTRAINT notice_cursors_pk PRIMARY KEY (user_id, device_id, feed),
    CONSTRAINT notice_cursors_session_fk FOREIGN KEY (user_id, device_id)
    REFERENCES sessions (user_id, device_id) ON DELETE CASCADE
) WITH (fillfactor = 80);

-- Whom a user has lately asked into a conversation without being known to them.
CREATE TABLE invitations (
    time_ms bigint NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    other_id text COLLATE "C" NOT NULL,
    CONSTRAINT invitations_pk PRIMARY KEY (user_id, other_id)
);

CREATE INDEX invitations_by_age ON invitations (time_ms);
