-- The first schema. conversation_id is in every key of conversation data, so that the tables can be
-- distributed by it (docs/adr/0002); sessions and subscriptions go by their user. Times are
-- milliseconds since 1970; codes are those of godwit-core; ids are 16 bytes, kept as uuid.
-- Wide columns come first where it saves padding.

-- Updated by every commit: half of each page is left free, so that the new row finds room beside
-- the old one and no index is touched (HOT).
CREATE TABLE conversations (
    id uuid NOT NULL,
    head_seq bigint NOT NULL,
    group_version bigint NOT NULL,
    created_ms bigint NOT NULL,
    head_chain bytea NOT NULL,
    kind smallint NOT NULL,
    CONSTRAINT conversations_pk PRIMARY KEY (id)
) WITH (fillfactor = 50);

-- A stay of a user: entries above joined_seq and below left_seq are theirs to see. A user who
-- comes back has one row for each stay.
CREATE TABLE members (
    conversation_id uuid NOT NULL,
    joined_seq bigint NOT NULL,
    left_seq bigint,
    role smallint NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    CONSTRAINT members_pk PRIMARY KEY (conversation_id, user_id, joined_seq),
    CONSTRAINT members_conversation_fk FOREIGN KEY (conversation_id) REFERENCES conversations (id)
);

CREATE INDEX members_present_by_user ON members (user_id, conversation_id) WHERE left_seq IS NULL;

-- No foreign key to the conversation: it would lock the head once more for every row, and the
-- commit has just checked it.
CREATE TABLE messages (
    seq bigint NOT NULL,
    time_ms bigint NOT NULL,
    reply_to bigint,
    expires_ms bigint,
    conversation_id uuid NOT NULL,
    message_id uuid NOT NULL,
    kind smallint NOT NULL,
    body_gone boolean NOT NULL,
    chain bytea NOT NULL,
    sender text COLLATE "C" NOT NULL,
    device text COLLATE "C" NOT NULL,
    cmid text COLLATE "C" NOT NULL,
    body bytea NOT NULL,
    CONSTRAINT messages_pk PRIMARY KEY (conversation_id, seq),
    CONSTRAINT messages_key_unique UNIQUE (conversation_id, sender, device, cmid)
);

-- Bodies are opaque and mostly encrypted: trying to compress them is wasted time.
ALTER TABLE messages ALTER COLUMN body SET STORAGE EXTERNAL;

-- What prune looks for: bodies by their age, and the few that expire.
CREATE INDEX messages_body_by_age ON messages (time_ms) WHERE NOT body_gone;
CREATE INDEX messages_body_by_expiry ON messages (expires_ms)
WHERE expires_ms IS NOT NULL AND NOT body_gone;

-- Filled and emptied all the time: vacuumed by rows, not by share, so that reading the oldest does
-- not wade through the dead.
CREATE TABLE outbox (
    id bigserial NOT NULL,
    seq bigint NOT NULL,
    conversation_id uuid NOT NULL,
    CONSTRAINT outbox_pk PRIMARY KEY (id, conversation_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- closed_ms is null while the device is connected.
CREATE TABLE sessions (
    expiry_s bigint NOT NULL,
    closed_ms bigint,
    user_id text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    CONSTRAINT sessions_pk PRIMARY KEY (user_id, device_id)
) WITH (fillfactor = 80);

CREATE INDEX sessions_by_expiry ON sessions ((closed_ms + expiry_s * 1000))
WHERE closed_ms IS NOT NULL;

CREATE TABLE subscriptions (
    identifier bigint,
    options smallint NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    filter text COLLATE "C" NOT NULL,
    CONSTRAINT subscriptions_pk PRIMARY KEY (user_id, device_id, filter),
    CONSTRAINT subscriptions_session_fk FOREIGN KEY (user_id, device_id)
    REFERENCES sessions (user_id, device_id) ON DELETE CASCADE
);

-- Present members' devices only; a device's cursors are found through its user's conversations.
-- Updated by every delivery, as conversations are by every commit.
CREATE TABLE cursors (
    conversation_id uuid NOT NULL,
    seq bigint NOT NULL,
    feed smallint NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    CONSTRAINT cursors_pk PRIMARY KEY (conversation_id, user_id, device_id, feed)
) WITH (fillfactor = 50);
