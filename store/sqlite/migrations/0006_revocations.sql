-- Revocations as durable, numbered facts; users that are suspended or deleted; what unread leaves out.

ALTER TABLE users ADD COLUMN revoked_ms INTEGER;
ALTER TABLE users ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN deleted_ms INTEGER;
ALTER TABLE devices ADD COLUMN barred INTEGER NOT NULL DEFAULT 0;

-- The last number given. Taken in the transaction that uses it, so numbers rise in the order of the
-- commits.
CREATE TABLE revocation_numbers (
    id INTEGER NOT NULL,
    last INTEGER NOT NULL,
    CONSTRAINT revocation_numbers_pk PRIMARY KEY (id),
    CONSTRAINT revocation_numbers_one CHECK (id = 1)
) STRICT, WITHOUT ROWID;

-- One row for a device, or (device_id is empty) for all devices of a user; its number is that of its
-- last change.
CREATE TABLE revocations (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    revoked_ms INTEGER,
    barred INTEGER NOT NULL,
    CONSTRAINT revocations_pk PRIMARY KEY (user_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX revocations_by_number ON revocations (number);

INSERT INTO revocations (user_id, device_id, number, revoked_ms, barred)
SELECT user_id, device_id, row_number() OVER (ORDER BY user_id, device_id), revoked_ms, 0
FROM devices
WHERE revoked_ms IS NOT NULL;

INSERT INTO revocation_numbers (id, last) SELECT 1, count(*) FROM revocations;

-- Devices that were revoked and never connected: a few for a user, and forgotten when their tokens
-- have ended.
CREATE INDEX devices_unseen ON devices (revoked_ms, user_id, device_id)
WHERE connected_ms = 0 AND revoked_ms IS NOT NULL;
DROP INDEX devices_revoked;

-- Messages (1) that nobody can read any more: not unread. A commit of a new one does not touch it.
CREATE INDEX messages_gone ON messages (conversation_id, seq) WHERE kind = 1 AND body_gone = 1;
