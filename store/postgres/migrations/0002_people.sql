-- Conversations as people know them: entries about entries, details, inboxes, users and devices.
-- Added columns get their values from the log, so that a database of the first version goes on as
-- if it had always had them.

-- The head's new values; the row stays narrow and no index is touched by a commit.
ALTER TABLE conversations
ADD COLUMN number bigint NOT NULL DEFAULT 0,
ADD COLUMN active_seq bigint NOT NULL DEFAULT 0,
ADD COLUMN active_ms bigint NOT NULL DEFAULT 0,
ADD COLUMN next_tag bigint NOT NULL DEFAULT 1,
ADD COLUMN expiry_s bigint;

ALTER TABLE messages
ADD COLUMN number bigint NOT NULL DEFAULT 0,
ADD COLUMN target_seq bigint,
ADD COLUMN mentions text COLLATE "C";

ALTER TABLE members
ADD COLUMN visible_seq bigint NOT NULL DEFAULT 0,
ADD COLUMN tag bigint NOT NULL DEFAULT 0,
ADD COLUMN blocked boolean NOT NULL DEFAULT false;

-- Messages (kind 1) up to and with each entry.
UPDATE messages AS m SET number = n.number
FROM (
    SELECT
        conversation_id,
        seq,
        count(*) FILTER (WHERE kind = 1) OVER (
            PARTITION BY conversation_id ORDER BY seq
        ) AS number
    FROM messages
) AS n
WHERE m.conversation_id = n.conversation_id AND m.seq = n.seq;

-- Tags go by stays, also those that are over: none is given twice.
UPDATE members AS m SET visible_seq = m.joined_seq, tag = t.tag
FROM (
    SELECT
        conversation_id,
        user_id,
        joined_seq,
        row_number() OVER (PARTITION BY conversation_id ORDER BY joined_seq, user_id) AS tag
    FROM members
) AS t
WHERE
    m.conversation_id = t.conversation_id AND m.user_id = t.user_id
    AND m.joined_seq = t.joined_seq;

-- Messages, changes of members and of details (kinds 1, 2, 6) are what an inbox shows.
UPDATE conversations AS c
SET
    number = coalesce(
        (SELECT m.number FROM messages AS m WHERE m.conversation_id = c.id AND m.seq = c.head_seq),
        0
    ),
    active_seq = coalesce(a.seq, 0),
    active_ms = coalesce(a.time_ms, c.created_ms),
    next_tag = 1 + (SELECT count(*) FROM members AS m WHERE m.conversation_id = c.id)
FROM conversations AS o
LEFT JOIN LATERAL (
    SELECT m.seq, m.time_ms FROM messages AS m
    WHERE m.conversation_id = o.id AND m.kind IN (1, 2, 6)
    ORDER BY m.seq DESC
    LIMIT 1
) AS a ON true
WHERE o.id = c.id;

-- From now on every row says it.
ALTER TABLE conversations
ALTER COLUMN number DROP DEFAULT,
ALTER COLUMN active_seq DROP DEFAULT,
ALTER COLUMN active_ms DROP DEFAULT,
ALTER COLUMN next_tag DROP DEFAULT;
ALTER TABLE messages ALTER COLUMN number DROP DEFAULT;
ALTER TABLE members
ALTER COLUMN visible_seq DROP DEFAULT,
ALTER COLUMN tag DROP DEFAULT,
ALTER COLUMN blocked DROP DEFAULT;

-- What was said about a message; how often by whom; its last edit.
CREATE INDEX messages_by_target ON messages (conversation_id, target_seq, kind, sender)
WHERE target_seq IS NOT NULL;
-- Pins (7) and what takes them back (8).
CREATE INDEX messages_pins ON messages (conversation_id, seq) WHERE kind IN (7, 8);

-- A conversation has a row here once something was set; without one all is empty or default.
CREATE TABLE details (
    title_seq bigint NOT NULL,
    description_seq bigint NOT NULL,
    changed_seq bigint NOT NULL,
    conversation_id uuid NOT NULL,
    history smallint NOT NULL,
    title text NOT NULL,
    description text NOT NULL,
    CONSTRAINT details_pk PRIMARY KEY (conversation_id),
    CONSTRAINT details_conversation_fk FOREIGN KEY (conversation_id) REFERENCES conversations (id)
);

-- Whom a message names besides its sender, members or not. Gone with the message's body when it is
-- deleted, and with the user who leaves.
CREATE TABLE mentions (
    seq bigint NOT NULL,
    conversation_id uuid NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    CONSTRAINT mentions_pk PRIMARY KEY (conversation_id, user_id, seq)
);

-- A present member's own state of a conversation, made at the first need. Updated by receipts, as
-- cursors are by every delivery.
CREATE TABLE inbox (
    delivered_seq bigint NOT NULL,
    read_seq bigint NOT NULL,
    muted_until_ms bigint,
    pinned_ms bigint,
    conversation_id uuid NOT NULL,
    archived boolean NOT NULL,
    marked_unread boolean NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    CONSTRAINT inbox_pk PRIMARY KEY (conversation_id, user_id)
) WITH (fillfactor = 50);

-- version 0: only last_seen_ms was noted, all else is default.
CREATE TABLE users (
    version bigint NOT NULL,
    created_ms bigint NOT NULL,
    last_seen_ms bigint,
    share_reads boolean NOT NULL,
    share_presence boolean NOT NULL,
    id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    password_hash text,
    CONSTRAINT users_pk PRIMARY KEY (id)
) WITH (fillfactor = 80);

CREATE TABLE devices (
    created_ms bigint NOT NULL,
    connected_ms bigint NOT NULL,
    revoked_ms bigint,
    user_id text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    CONSTRAINT devices_pk PRIMARY KEY (user_id, device_id)
) WITH (fillfactor = 80);

CREATE INDEX devices_revoked ON devices (user_id, device_id) WHERE revoked_ms IS NOT NULL;

CREATE TABLE blocks (
    created_ms bigint NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    other_id text COLLATE "C" NOT NULL,
    CONSTRAINT blocks_pk PRIMARY KEY (user_id, other_id)
);

-- Idempotency keys of the control plane's callers.
CREATE TABLE request_keys (
    created_ms bigint NOT NULL,
    caller text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL,
    CONSTRAINT request_keys_pk PRIMARY KEY (caller, key)
);

CREATE INDEX request_keys_by_age ON request_keys (created_ms);
