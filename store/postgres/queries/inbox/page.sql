-- A page of a user's inbox: the user's conversations between $2 and $3 on a shelf ($4: archived or
-- not; null: both), after the place ($5, $6, $7; null: from the top), at most $8, in the order of the
-- moment $10: of a conversation that was active since, the last activity of before counts, looked for in
-- $13 entries. What costs more than a sorted row is read for the page alone.
-- Unread is a subtraction of numbers, less what nobody can read any more or the user has said: among
-- the newest $9 entries exactly at the moment $11, below them what is gone, at most $12. Mentions are
-- counted up to $14.
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
    p.place_pinned AS "place_pinned!",
    p.place_ms AS "place_ms!",
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
        SELECT
            count(*) FILTER (
                WHERE o.kind = 1 AND (o.sender = $1 OR o.body_gone OR o.expires_ms <= $11)
            )
        FROM (
            SELECT x.kind, x.sender, x.body_gone, x.expires_ms FROM messages AS x
            WHERE x.conversation_id = p.id AND x.seq > p.seen_seq
            ORDER BY x.seq DESC
            LIMIT $9
        ) AS o
    ) - (
        SELECT count(*)
        FROM (
            SELECT FROM messages AS g
            WHERE
                g.conversation_id = p.id AND g.seq > p.seen_seq AND g.seq <= p.head_seq - $9
                AND g.kind = 1 AND g.body_gone
            LIMIT $12
        ) AS gone
    ) AS "unread!",
    (
        SELECT count(*)
        FROM (
            SELECT n.seq FROM mentions AS n
            WHERE n.conversation_id = p.id AND n.user_id = $1 AND n.seq > p.seen_seq
            ORDER BY n.seq DESC
            LIMIT $14
        ) AS named
        CROSS JOIN LATERAL (
            SELECT FROM messages AS x
            WHERE
                x.conversation_id = p.id AND x.seq = named.seq AND NOT x.body_gone
                AND (x.expires_ms IS NULL OR x.expires_ms > $11)
            LIMIT 1
        ) AS q
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
    CASE WHEN e.seq IS NULL THEN v.mentions ELSE e.mentions END AS "named?",
    v.expires_ms AS "expires_ms?",
    coalesce(e.body_gone, v.body_gone) AS "body_gone?",
    coalesce(e.body, v.body) AS "body?"
FROM (
    SELECT s.* FROM (
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
            least(greatest(i.read_seq, m.joined_seq), c.head_seq) AS seen_seq,
            coalesce(i.delivered_seq, 0) AS delivered_seq,
            coalesce(i.read_seq, 0) AS read_seq,
            i.muted_until_ms,
            coalesce(i.archived, false) AS archived,
            i.pinned_ms,
            coalesce(i.marked_unread, false) AS marked_unread,
            coalesce(i.pinned_ms <= $10, false) AS place_pinned,
            CASE
                WHEN c.active_ms <= $10 THEN c.active_ms
                ELSE coalesce(
                    (
                        SELECT a.time_ms FROM messages AS a
                        WHERE
                            a.conversation_id = c.id AND a.seq < c.active_seq
                            AND a.seq >= c.active_seq - $13
                            AND a.kind IN (1, 2, 6) AND a.time_ms <= $10
                        ORDER BY a.seq DESC
                        LIMIT 1
                    ),
                    CASE WHEN c.created_ms <= $10 AND c.active_seq <= $13 THEN c.created_ms END,
                    0
                )
            END AS place_ms
        FROM members AS m
        INNER JOIN conversations AS c ON c.id = m.conversation_id
        LEFT JOIN inbox AS i ON i.conversation_id = m.conversation_id AND i.user_id = $1
        WHERE
            m.user_id = $1 AND m.left_seq IS NULL
            AND m.conversation_id >= $2 AND m.conversation_id <= $3
            AND ($4::boolean IS NULL OR coalesce(i.archived, false) = $4)
    ) AS s
    WHERE
        $5::boolean IS NULL OR (s.place_pinned, s.place_ms, s.id) < ($5, $6::bigint, $7::uuid)
    ORDER BY s.place_pinned DESC, s.place_ms DESC, s.id DESC
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
    SELECT m.seq, m.mentions, m.body_gone, m.body FROM messages AS m
    WHERE m.conversation_id = p.id AND m.target_seq = v.seq AND m.kind = 3
    ORDER BY m.seq DESC
    LIMIT 1
) AS e ON true
ORDER BY p.place_pinned DESC, p.place_ms DESC, p.id DESC
