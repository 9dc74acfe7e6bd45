-- $7: this changes where the conversation stands in the user's inbox.
INSERT INTO inbox (
    conversation_id, user_id, delivered_seq, read_seq, muted_until_ms, archived, pinned_ms,
    marked_unread, moved
)
VALUES (
    $1, $2, 0, 0, $3, $4, $5, $6,
    CASE WHEN $7::boolean THEN pg_current_xact_id()::text::bigint ELSE 0 END
)
ON CONFLICT (conversation_id, user_id) DO UPDATE SET
    muted_until_ms = excluded.muted_until_ms,
    archived = excluded.archived,
    pinned_ms = excluded.pinned_ms,
    marked_unread = excluded.marked_unread,
    moved = CASE WHEN $7 THEN excluded.moved ELSE inbox.moved END
