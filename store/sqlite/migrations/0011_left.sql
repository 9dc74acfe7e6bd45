-- When a stay ended, for the list of conversations that a user has left lately. What ended before this
-- has no time and is not listed.
ALTER TABLE members ADD COLUMN left_ms INTEGER;

CREATE INDEX members_left_by_user ON members (user_id, left_ms) WHERE left_ms IS NOT NULL;
