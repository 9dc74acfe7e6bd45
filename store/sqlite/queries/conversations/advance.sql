-- Moves heads, after their events are in the outbox: the last event's number is that of the move, if it
-- changes where the conversation stands in inboxes. ?1: [[offset in ?2, head_seq, group_version, number,
-- active_seq, active_ms], ...]; ?2 holds id and chain.
UPDATE conversations
SET
    head_seq = h.head_seq,
    head_chain = h.head_chain,
    group_version = h.group_version,
    number = h.number,
    active_seq = h.active_seq,
    active_ms = h.active_ms,
    moved = CASE
        WHEN h.active_seq = conversations.active_seq THEN conversations.moved
        ELSE (SELECT seq FROM sqlite_sequence WHERE name = 'outbox')
    END
FROM (
    SELECT
        substr(?2, value ->> 0, 16) AS id,
        value ->> 1 AS head_seq,
        substr(?2, (value ->> 0) + 16, 16) AS head_chain,
        value ->> 2 AS group_version,
        value ->> 3 AS number,
        value ->> 4 AS active_seq,
        value ->> 5 AS active_ms
    FROM json_each(?1)
) AS h
WHERE conversations.id = h.id
