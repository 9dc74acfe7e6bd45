-- Groups into which users are invited and of which they are no members yet (policy.add_to_groups =
-- "invitation"): the latest invitation of each.
CREATE TABLE offers (
    user_id TEXT NOT NULL,
    conversation_id BLOB NOT NULL,
    inviter_id TEXT NOT NULL,
    inviter_device TEXT NOT NULL,
    role INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    CONSTRAINT offers_pk PRIMARY KEY (user_id, conversation_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX offers_by_age ON offers (time_ms);
