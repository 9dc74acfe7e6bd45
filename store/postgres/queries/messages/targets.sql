-- What sends are about: for each the message at its target, and how many entries of its own kind
-- (up to $7) its sender has made about that since a time; how many of them were without a body. Those
-- without a target there are left out.
SELECT
    s.place AS "place!",
    t.kind,
    t.sender,
    t.time_ms,
    t.expires_ms,
    t.body_gone,
    r.repeats AS "repeats!",
    r.emptied AS "emptied!",
    (t.mentions IS NOT NULL OR n.named IS NOT NULL) AS "named!"
FROM (
    SELECT
        unnest($1::bigint []) AS place,
        unnest($2::uuid []) AS conversation_id,
        unnest($3::bigint []) AS seq,
        unnest($4::smallint []) AS kind,
        unnest($5::text []) AS sender,
        unnest($6::bigint []) AS since_ms
) AS s
CROSS JOIN LATERAL (
    SELECT kind, sender, time_ms, expires_ms, body_gone, mentions FROM messages
    WHERE conversation_id = s.conversation_id AND seq = s.seq
    LIMIT 1
) AS t
CROSS JOIN LATERAL (
    SELECT
        count(*) AS repeats,
        count(*) FILTER (WHERE length(e.body) = 0 AND NOT e.body_gone) AS emptied
    FROM (
        SELECT body, body_gone FROM messages
        WHERE
            conversation_id = s.conversation_id AND target_seq = s.seq AND kind = s.kind
            AND sender = s.sender AND time_ms >= s.since_ms
        LIMIT $7
    ) AS e
) AS r
LEFT JOIN LATERAL (
    SELECT true AS named FROM messages
    WHERE
        conversation_id = s.conversation_id AND target_seq = s.seq AND kind = 3
        AND mentions IS NOT NULL
    LIMIT 1
) AS n ON true
