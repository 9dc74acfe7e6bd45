-- What sends are about: for each the message at its target, and how many entries of its own kind
-- its sender has made about that. Those without a target there are left out.
SELECT
    s.place AS "place!",
    t.kind,
    t.sender,
    t.time_ms,
    t.expires_ms,
    t.body_gone,
    r.repeats AS "repeats!"
FROM (
    SELECT
        unnest($1::bigint []) AS place,
        unnest($2::uuid []) AS conversation_id,
        unnest($3::bigint []) AS seq,
        unnest($4::smallint []) AS kind,
        unnest($5::text []) AS sender
) AS s
CROSS JOIN LATERAL (
    SELECT kind, sender, time_ms, expires_ms, body_gone FROM messages
    WHERE conversation_id = s.conversation_id AND seq = s.seq
    LIMIT 1
) AS t
CROSS JOIN LATERAL (
    SELECT count(*) AS repeats FROM messages
    WHERE
        conversation_id = s.conversation_id AND target_seq = s.seq AND kind = s.kind
        AND sender = s.sender
) AS r
