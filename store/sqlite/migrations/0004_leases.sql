-- Who serves from this file: one row, written by the holder of the lock (on a file beside it) as long
-- as it lives. probed_ms is written to find out whether anything can be.
CREATE TABLE leases (
    id INTEGER NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    heartbeat_ms INTEGER NOT NULL,
    probed_ms INTEGER NOT NULL,
    CONSTRAINT leases_pk PRIMARY KEY (id)
) STRICT;

INSERT INTO leases (id, owner, name, heartbeat_ms, probed_ms) VALUES (1, '', '', 0, 0);
