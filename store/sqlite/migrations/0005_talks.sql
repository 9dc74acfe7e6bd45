-- One direct conversation for a pair, what was asked under a key, what users are told beside their
-- conversations, and whom they have asked into conversations.

-- The pair in its order; twice the same user: a conversation with oneself. Of several that were made
-- before, the oldest is the one.
CREATE TABLE direct_pairs (
    low_id TEXT NOT NULL,
    high_id TEXT NOT NULL,
    conversation_id BLOB NOT NULL,
    CONSTRAINT direct_pairs_pk PRIMARY KEY (low_id, high_id)
) STRICT, WITHOUT ROWID;

INSERT INTO direct_pairs (low_id, high_id, conversation_id)
SELECT
    low_id,
    high_id,
    id
FROM (
    SELECT
        p.low_id,
        p.high_id,
        p.id,
        row_number() OVER (PARTITION BY p.low_id, p.high_id ORDER BY p.created_ms, p.id) AS place
    FROM (
        SELECT
            c.id,
            c.created_ms,
            min(m.user_id) AS low_id,
            max(m.user_id) AS high_id
        FROM conversations AS c
        INNER JOIN members AS m ON m.conversation_id = c.id AND m.left_seq IS NULL
        WHERE c.kind = 1
        GROUP BY c.id, c.created_ms
    ) AS p
)
WHERE place = 1;

-- Null: a key of before, or one that nobody can use again; nothing is compared. It stands behind the
-- body, but is read for repeated keys only.
ALTER TABLE messages ADD COLUMN fingerprint INTEGER;

-- What a user's kept sessions are to be told on a feed (3: control, 4: own devices): numbered for
-- each user and feed, the latest of each subject only. device: whose doing it was.
CREATE TABLE notice_heads (
    user_id TEXT NOT NULL,
    feed INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    CONSTRAINT notice_heads_pk PRIMARY KEY (user_id, feed)
) STRICT, WITHOUT ROWID;

CREATE TABLE notices (
    user_id TEXT NOT NULL,
    feed INTEGER NOT NULL,
    subject TEXT NOT NULL,
    seq INTEGER NOT NULL,
    device TEXT,
    time_ms INTEGER NOT NULL,
    body TEXT NOT NULL,
    CONSTRAINT notices_pk PRIMARY KEY (user_id, feed, subject)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX notices_by_seq ON notices (user_id, feed, seq);
CREATE INDEX notices_by_age ON notices (time_ms);

CREATE TABLE notice_cursors (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    feed INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    CONSTRAINT notice_cursors_pk PRIMARY KEY (user_id, device_id, feed),
    CONSTRAINT notice_cursors_session_fk FOREIGN KEY (user_id, device_id)
    REFERENCES sessions (user_id, device_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Whom a user has lately asked into a conversation without being known to them.
CREATE TABLE invitations (
    user_id TEXT NOT NULL,
    other_id TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    CONSTRAINT invitations_pk PRIMARY KEY (user_id, other_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX invitations_by_age ON invitations (time_ms);
