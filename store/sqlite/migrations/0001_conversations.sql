-- The first schema. Every key of conversation data starts with the conversation, as in the
-- Postgres store. Tables are clustered by their primary key (WITHOUT ROWID), so a page of a log is
-- read from neighbouring pages of the file. Times are milliseconds since 1970; ids and hashes are
-- 16 bytes; codes are those of godwit-core.

CREATE TABLE conversations (
    id BLOB NOT NULL,
    kind INTEGER NOT NULL,
    head_seq INTEGER NOT NULL,
    head_chain BLOB NOT NULL,
    group_version INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    CONSTRAINT conversations_pk PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

-- A stay of a user: entries above joined_seq and below left_seq are theirs to see. A user who
-- comes back has one row for each stay.
CREATE TABLE members (
    conversation_id BLOB NOT NULL,
    user_id TEXT NOT NULL,
    joined_seq INTEGER NOT NULL,
    left_seq INTEGER,
    role INTEGER NOT NULL,
    CONSTRAINT members_pk PRIMARY KEY (conversation_id, user_id, joined_seq),
    CONSTRAINT members_conversation_fk FOREIGN KEY (conversation_id) REFERENCES conversations (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_present_by_user ON members (user_id, conversation_id) WHERE left_seq IS NULL;

-- The body comes last: a body beyond a page overflows, and nothing behind it needs to be sought.
-- No foreign key to the conversation: the commit has just read its head.
CREATE TABLE messages (
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
    expires_ms INTEGER,
    body_gone INTEGER NOT NULL,
    body BLOB NOT NULL,
    CONSTRAINT messages_pk PRIMARY KEY (conversation_id, seq),
    CONSTRAINT messages_key_unique UNIQUE (conversation_id, sender, device, cmid)
) STRICT, WITHOUT ROWID;

-- What prune looks for: bodies by their age, and the few that expire.
CREATE INDEX messages_body_by_age ON messages (time_ms) WHERE body_gone = 0;
CREATE INDEX messages_body_by_expiry ON messages (expires_ms)
WHERE expires_ms IS NOT NULL AND body_gone = 0;

-- AUTOINCREMENT: an id is never given twice, so a late "done" forgets nothing new.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id BLOB NOT NULL,
    seq INTEGER NOT NULL
) STRICT;

-- closed_ms is null while the device is connected.
CREATE TABLE sessions (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    expiry_s INTEGER NOT NULL,
    closed_ms INTEGER,
    CONSTRAINT sessions_pk PRIMARY KEY (user_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_expiry ON sessions (closed_ms + expiry_s * 1000)
WHERE closed_ms IS NOT NULL;

CREATE TABLE subscriptions (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    filter TEXT NOT NULL,
    options INTEGER NOT NULL,
    identifier INTEGER,
    CONSTRAINT subscriptions_pk PRIMARY KEY (user_id, device_id, filter),
    CONSTRAINT subscriptions_session_fk FOREIGN KEY (user_id, device_id)
    REFERENCES sessions (user_id, device_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Present members' devices only; a device's cursors are found through its user's conversations.
CREATE TABLE cursors (
    conversation_id BLOB NOT NULL,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    feed INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    CONSTRAINT cursors_pk PRIMARY KEY (conversation_id, user_id, device_id, feed)
) STRICT, WITHOUT ROWID;
