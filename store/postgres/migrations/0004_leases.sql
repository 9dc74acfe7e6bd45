-- Who serves from this database: one row, written by the holder of the lock (an advisory one) as long
-- as it lives. probed_ms is written to find out whether anything can be.
CREATE TABLE leases (
    heartbeat_ms bigint NOT NULL,
    probed_ms bigint NOT NULL,
    id smallint NOT NULL,
    owner text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    CONSTRAINT leases_pk PRIMARY KEY (id)
) WITH (fillfactor = 50);

INSERT INTO leases (heartbeat_ms, probed_ms, id, owner, name) VALUES (0, 0, 1, '', '');
