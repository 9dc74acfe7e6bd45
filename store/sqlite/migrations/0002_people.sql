-- Conversations as people know them: entries about messages, groups, inboxes, receipts, people.

-- The head row carries what each commit moves or asks for; what a commit does not need stands in
-- details. number: messages in the log. active: the last entry that an inbox shows.
ALTER TABLE conversations ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversations ADD COLUMN active_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversations ADD COLUMN active_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversations ADD COLUMN expiry_s INTEGER;
ALTER TABLE conversations ADD COLUMN next_tag INTEGER NOT NULL DEFAULT 1;

-- A row only for a conversation of which something was set; without one all is default.
CREATE TABLE details (
    conversation_id BLOB NOT NULL,
    title TEXT NOT NULL,
    title_seq INTEGER NOT NULL,
    description TEXT NOT NULL,
    description_seq INTEGER NOT NULL,
    history INTEGER NOT NULL,
    changed_seq INTEGER NOT NULL,
    CONSTRAINT details_pk PRIMARY KEY (conversation_id),
    CONSTRAINT details_conversation_fk FOREIGN KEY (conversation_id) REFERENCES conversations (id)
) STRICT, WITHOUT ROWID;

-- Entries above visible_seq are the member's to see. A tag is never given twice in a conversation.
-- blocked: the other member of a direct conversation does not want to be sent to.
ALTER TABLE members ADD COLUMN visible_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN tag INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0;

UPDATE members SET visible_seq = members.joined_seq, tag = t.tag
FROM (
    SELECT
        conversation_id,
        user_id,
        joined_seq,
        row_number() OVER (PARTITION BY conversation_id ORDER BY joined_seq, user_id) AS tag
    FROM members
) AS t
WHERE
    members.conversation_id = t.conversation_id AND members.user_id = t.user_id
    AND members.joined_seq = t.joined_seq;

-- messages is written anew: the body must stay the last column, or each reading of a new one would
-- follow a long body through its pages. number: messages up to and with this entry. target_seq: the
-- message that an entry is about. mentions: user ids with a space between.
CREATE TABLE messages_new (
    conversation_id BLOB NOT NULL,
    seq INTEGER NOT NULL,
    message_id BLOB NOT NULL,
    kind INTEGER NOT NULL,
    sender TEXT NOT NULL,
    device TEXT NOT NULL,
    cmid TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    chain BLOB NOT NULL,
    reply_to INTEGER,
    target_seq INTEGER,
    mentions TEXT,
    number INTEGER NOT NULL,
    expires_ms INTEGER,
    body_gone INTEGER NOT NULL,
    body BLOB NOT NULL,
    CONSTRAINT messages_pk PRIMARY KEY (conversation_id, seq),
    CONSTRAINT messages_key_unique UNIQUE (conversation_id, sender, device, cmid)
) STRICT, WITHOUT ROWID;

INSERT INTO messages_new
SELECT
    conversation_id,
    seq,
    message_id,
    kind,
    sender,
    device,
    cmid,
    time_ms,
    chain,
    reply_to,
    NULL,
    NULL,
    sum(kind = 1) OVER (PARTITION BY conversation_id ORDER BY seq ROWS UNBOUNDED PRECEDING),
    expires_ms,
    body_gone,
    body
FROM messages
ORDER BY conversation_id, seq;

DROP TABLE messages;
ALTER TABLE messages_new RENAME TO messages;

CREATE INDEX messages_body_by_age ON messages (time_ms) WHERE body_gone = 0;
CREATE INDEX messages_body_by_expiry ON messages (expires_ms)
WHERE expires_ms IS NOT NULL AND body_gone = 0;

-- What is about a message: its edits, and how often a user has reacted.
CREATE INDEX messages_by_target ON messages (conversation_id, target_seq, kind, sender)
WHERE target_seq IS NOT NULL;
-- Pins (7) and what takes them back (8).
CREATE INDEX messages_pins ON messages (conversation_id, seq) WHERE kind IN (7, 8);

UPDATE conversations SET
    number = coalesce((
        SELECT m.number FROM messages AS m
        WHERE m.conversation_id = conversations.id AND m.seq = conversations.head_seq
    ), 0),
    active_seq = coalesce((
        SELECT max(m.seq) FROM messages AS m
        WHERE m.conversation_id = conversations.id AND m.kind IN (1, 2, 6)
    ), 0),
    next_tag = 1 + (SELECT count(*) FROM members AS m WHERE m.conversation_id = conversations.id);

UPDATE conversations SET
    active_ms = coalesce((
        SELECT m.time_ms FROM messages AS m
        WHERE m.conversation_id = conversations.id AND m.seq = conversations.active_seq
    ), created_ms);

-- Whom a message of another names, member or not. A row goes with its message, and with its user.
CREATE TABLE mentions (
    conversation_id BLOB NOT NULL,
    user_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    CONSTRAINT mentions_pk PRIMARY KEY (conversation_id, user_id, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX mentions_by_message ON mentions (conversation_id, seq);

-- How far a present member has got, and the member's own marks; made at the first need.
CREATE TABLE inbox (
    conversation_id BLOB NOT NULL,
    user_id TEXT NOT NULL,
    delivered_seq INTEGER NOT NULL,
    read_seq INTEGER NOT NULL,
    muted_until_ms INTEGER,
    archived INTEGER NOT NULL,
    pinned_ms INTEGER,
    marked_unread INTEGER NOT NULL,
    CONSTRAINT inbox_pk PRIMARY KEY (conversation_id, user_id)
) STRICT, WITHOUT ROWID;

-- version 0: nothing was set yet, only when the user was last seen.
CREATE TABLE users (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    password_hash TEXT,
    share_reads INTEGER NOT NULL,
    share_presence INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    last_seen_ms INTEGER,
    CONSTRAINT users_pk PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE devices (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    name TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    connected_ms INTEGER NOT NULL,
    revoked_ms INTEGER,
    CONSTRAINT devices_pk PRIMARY KEY (user_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX devices_revoked ON devices (user_id, device_id) WHERE revoked_ms IS NOT NULL;

CREATE TABLE blocks (
    user_id TEXT NOT NULL,
    other_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    CONSTRAINT blocks_pk PRIMARY KEY (user_id, other_id)
) STRICT, WITHOUT ROWID;

-- Idempotency keys of the control plane; fingerprint: 32 bytes of what was asked.
CREATE TABLE request_keys (
    caller TEXT NOT NULL,
    "key" TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    CONSTRAINT request_keys_pk PRIMARY KEY (caller, "key")
) STRICT, WITHOUT ROWID;

CREATE INDEX request_keys_by_age ON request_keys (created_ms);
