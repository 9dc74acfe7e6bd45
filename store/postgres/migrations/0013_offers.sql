-- Groups into which users are invited and of which they are no members yet (policy.add_to_groups =
-- "invitation"): the latest invitation of each.
CREATE TABLE offers (
    user_id text COLLATE "C" NOT NULL,
    conversation_id uuid NOT NULL,
    inviter_id text COLLATE "C" NOT NULL,
    inviter_device text COLLATE "C" NOT NULL,
    role smallint NOT NULL,
    time_ms bigint NOT NULL,
    CONSTRAINT offers_pk PRIMARY KEY (user_id, conversation_id)
);

CREATE INDEX offers_by_age ON offers (time_ms);
