-- A page of a user's inbox: the user's conversations between $2 and $3 on a shelf ($4: archived or
-- not; null: both), after the place ($5, $6, $7; null: from the top), at most $8. What costs more
-- than a sorted row is read for the page alone. $9: entries looked through for one's own messages.
-- LIMIT: see conversations/load; coalesce(left_seq, 0): see conversations/get.
SELECT
    p.id,
    p.kind,
    p.head_seq,
    p.head_chain,
    p.group_version,
    p.active_ms,
    p.role,
    p.tag,
    p.visible_seq,
    p.delivered_seq AS "delivered_seq!",
    p.read_seq AS "read_seq!",
    p.muted_until_ms AS "muted_until_ms?",
    p.archived AS "archived!",
    p.pinned_ms AS "pinned_ms?",
    p.marked_unread AS "marked_unread!",
    coalesce(d.title, '') AS "title!",
    CASE
        WHEN p.kind = 1 THEN (
            SELECT o.user_id FROM members AS o
            WHERE
                o.conversation_id = p.id AND coalesce(o.left_seq, 0) = 0 AND o.user_id <> $1
            LIMIT 1
        )
    END AS "peer?",
    (
        SELECT count(*) FROM members AS o
        WHERE o.conversation_id = p.id AND coalesce(o.left_seq, 0) = 0
    ) AS "members!",
    p.number - coalesce(
        (
            SELECT r.number FROM messages AS r
            WHERE r.conversation_id = p.id AND r.seq = p.seen_seq
        ),
        0
    ) - (
        SELECT count(*) FILTER (WHERE o.kind = 1 AND o.sender = $1)
        FROM (
            SELECT x.kind, x.sender FROM messages AS x
            WHERE x.conversation_id = p.id AND x.seq > p.seen_seq
            ORDER BY x.seq DESC
            LIMIT $9
        ) AS o
    ) AS "unread!",
    (
        SELECT count(*) FROM mentions AS n
        WHERE n.conversation_id = p.id AND n.user_id = $1 AND n.seq > p.seen_seq
    ) AS "mentions!",
    v.seq AS "seq?",
    v.message_id AS "message_id?",
    v.kind AS "entry_kind?",
    v.sender AS "sender?",
    v.device AS "device?",
    v.time_ms AS "time_ms?",
    v.chain AS "chain?",
    v.number AS "number?",
    v.reply_to AS "reply_to?",
    v.target_seq AS "target_seq?",
    v.mentions AS "named?",
    v.expires_ms AS "expires_ms?",
    coalesce(e.body_gone, v.body_gone) AS "body_gone?",
    coalesce(e.body, v.body) AS "body?"
FROM (
    SELECT
        c.id,
        c.kind,
        c.head_seq,
        c.head_chain,
        c.group_version,
        c.number,
        c.active_seq,
        c.active_ms,
        m.role,
        m.tag,
        m.visible_seq,
        greatest(i.read_seq, m.joined_seq) AS seen_seq,
        coalesce(i.delivered_seq, 0) AS delivered_seq,
        coalesce(i.read_seq, 0) AS read_seq,
        i.muted_until_ms,
        coalesce(i.archived, false) AS archived,
        i.pinned_ms,
        coalesce(i.marked_unread, false) AS marked_unread
    FROM members AS m
    INNER JOIN conversations AS c ON c.id = m.conversation_id
    LEFT JOIN inbox AS i ON i.conversation_id = m.conversation_id AND i.user_id = $1
    WHERE
        m.user_id = $1 AND m.left_seq IS NULL
        AND m.conversation_id >= $2 AND m.conversation_id <= $3
        AND ($4::boolean IS NULL OR coalesce(i.archived, false) = $4)
        AND (
            $5::boolean IS NULL
            OR (i.pinned_ms IS NOT NULL, c.active_ms, c.id) < ($5, $6::bigint, $7::uuid)
        )
    ORDER BY i.pinned_ms IS NOT NULL DESC, c.active_ms DESC, c.id DESC
    LIMIT $8
) AS p
LEFT JOIN LATERAL (
    SELECT title FROM details
    WHERE conversation_id = p.id
    LIMIT 1
) AS d ON true
LEFT JOIN LATERAL (
    SELECT
        m.seq, m.message_id, m.kind, m.sender, m.device, m.time_ms, m.chain, m.number, m.reply_to,
        m.target_seq, m.mentions, m.expires_ms, m.body_gone, m.body
    FROM messages AS m
    WHERE m.conversation_id = p.id AND m.seq = p.active_seq AND m.seq > p.visible_seq
    LIMIT 1
) AS v ON true
LEFT JOIN LATERAL (
    SELECT m.body_gone, m.body FROM messages AS m
    WHERE m.conversation_id = p.id AND m.target_seq = v.seq AND m.kind = 3
    ORDER BY m.seq DESC
    LIMIT 1
) AS e ON true
ORDER BY p.pinned_ms IS NOT NULL DESC, p.active_ms DESC, p.id DESC
