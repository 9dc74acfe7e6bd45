-- Revocations as durable, numbered facts; users that are suspended or deleted; what unread leaves out.

ALTER TABLE users
ADD COLUMN revoked_ms bigint,
ADD COLUMN deleted_ms bigint,
ADD COLUMN suspended boolean NOT NULL DEFAULT false;
ALTER TABLE devices ADD COLUMN barred boolean NOT NULL DEFAULT false;

-- The last number given. Whoever takes one holds the row until the commit, so numbers rise in the
-- order of the commits: a reader that has seen one has missed none below it.
CREATE TABLE revocation_numbers (
    last bigint NOT NULL,
    id smallint NOT NULL,
    CONSTRAINT revocation_numbers_pk PRIMARY KEY (id),
    CONSTRAINT revocation_numbers_one CHECK (id = 1)
);

-- One row for a device, or (device_id is empty) for all devices of a user; its number is that of its
-- last change.
CREATE TABLE revocations (
    number bigint NOT NULL,
    revoked_ms bigint,
    barred boolean NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    CONSTRAINT revocations_pk PRIMARY KEY (user_id, device_id)
);

CREATE UNIQUE INDEX revocations_by_number ON revocations (number);

INSERT INTO revocations (user_id, device_id, number, revoked_ms, barred)
SELECT user_id, device_id, row_number() OVER (ORDER BY user_id, device_id), revoked_ms, false
FROM devices
WHERE revoked_ms IS NOT NULL;

INSERT INTO revocation_numbers (id, last) SELECT 1, count(*) FROM revocations;

-- Devices that were revoked and never connected: a few for a user, and forgotten when their tokens
-- have ended.
CREATE INDEX devices_unseen ON devices (revoked_ms, user_id, device_id)
WHERE connected_ms = 0 AND revoked_ms IS NOT NULL;
DROP INDEX devices_revoked;

-- Messages (1) that nobody can read any more: not unread. A commit of a new one does not touch it.
CREATE INDEX messages_gone ON messages (conversation_id, seq) WHERE kind = 1 AND body_gone;
