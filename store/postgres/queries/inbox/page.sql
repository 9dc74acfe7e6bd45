-- A page of a user's inbox: the user's conversations between $2 and $3 on a shelf ($4: archived or
-- not; null: both), after the place ($5, $6, $7, $8; null: from the top), at most $9. A conversation or
-- mark that moved since the walk began has a number from $10 on (null: this is the walk's first page) or
-- one of $11, and stands at the walk's end. Numbers are those of transactions. One that was not given yet
-- is of another cluster, from which these data were restored: as a conversation's it says nothing, as $10
-- that everything has moved. What costs more than a sorted row is read for the page alone.
-- Unread is a subtraction of numbers, less what nobody can read any more or the user has said: among
-- the newest $12 entries exactly at the moment $13, below them what is gone, by blocks, at most $14.
-- Mentions are counted up to $15. $16: open transactions that are told, and one more.
-- LIMIT: see conversations/load; coalesce(left_seq, 0): see conversations/get.
WITH now AS MATERIALIZED (
    SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS number
)

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
    p.stands AS "stands!",
    (SELECT now.number FROM now) AS "now_number!",
    CASE
        WHEN $10::bigint IS NULL THEN ARRAY(
            SELECT x.number
            FROM (
                SELECT pg_snapshot_xip(pg_current_snapshot())::text::bigint AS number
            ) AS x
            ORDER BY x.number
            LIMIT $16
        )
    END AS "now_open?",
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
                WHERE o.kind = 1 AND (o.sender = $1 OR o.body_gone OR o.expires_ms <= $13)
            )
        FROM (
            SELECT x.kind, x.sender, x.body_gone, x.expires_ms FROM messages AS x
            WHERE x.conversation_id = p.id AND x.seq > p.seen_seq
            ORDER BY x.seq DESC
            LIMIT $12
        ) AS o
    ) - (
        SELECT count(*) FROM messages AS g
        WHERE
            g.conversation_id = p.id AND g.seq > p.seen_seq
            AND g.seq <= least(p.head_seq - $12, (p.seen_seq / 1024 + 1) * 1024 - 1)
            AND g.kind = 1 AND g.body_gone
    ) - (
        SELECT coalesce(sum(b.gone), 0)::bigint
        FROM (
            SELECT t.gone FROM gone_blocks AS t
            WHERE
                t.conversation_id = p.id AND t.block > p.seen_seq / 1024
                AND t.block < (p.head_seq - $12 + 1) / 1024
            ORDER BY t.block DESC
            LIMIT $14
        ) AS b
    ) - (
        SELECT count(*) FROM messages AS u
        WHERE
            u.conversation_id = p.id AND u.seq <= p.head_seq - $12
            AND u.seq >= greatest(p.seen_seq / 1024 + 1, (p.head_seq - $12 + 1) / 1024) * 1024
            AND u.kind = 1 AND u.body_gone
    ) AS "unread!",
    (
        SELECT count(*)
        FROM (
            SELECT n.seq FROM mentions AS n
            WHERE n.conversation_id = p.id AND n.user_id = $1 AND n.seq > p.seen_seq
            ORDER BY n.seq DESC
            LIMIT $15
        ) AS named
        CROSS JOIN LATERAL (
            SELECT FROM messages AS x
            WHERE
                x.conversation_id = p.id AND x.seq = named.seq AND NOT x.body_gone
                AND (x.expires_ms IS NULL OR x.expires_ms > $13)
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
            coalesce(
                (c.moved < $10 OR c.moved >= (SELECT now.number FROM now))
                AND coalesce(i.moved < $10 OR i.moved >= (SELECT now.number FROM now), true)
                AND c.moved <> all($11::bigint []) AND coalesce(i.moved, 0) <> all($11)
                AND $10 <= (SELECT now.number FROM now),
                true
            ) AS stands
        FROM members AS m
        INNER JOIN conversations AS c ON c.id = m.conversation_id
        LEFT JOIN inbox AS i ON i.conversation_id = m.conversation_id AND i.user_id = $1
        WHERE
            m.user_id = $1 AND m.left_seq IS NULL
            AND m.conversation_id >= $2 AND m.conversation_id <= $3
            AND ($4::boolean IS NULL OR coalesce(i.archived, false) = $4)
    ) AS s
    WHERE
        $5::boolean IS NULL
        OR (
            s.stands, s.stands AND s.pinned_ms IS NOT NULL,
            CASE WHEN s.stands THEN s.active_ms ELSE 0 END, s.id
        ) < ($5, $6::boolean, $7::bigint, $8::uuid)
    ORDER BY
        s.stands DESC, (s.stands AND s.pinned_ms IS NOT NULL) DESC,
        CASE WHEN s.stands THEN s.active_ms ELSE 0 END DESC, s.id DESC
    LIMIT $9
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
ORDER BY
    p.stands DESC, (p.stands AND p.pinned_ms IS NOT NULL) DESC,
    CASE WHEN p.stands THEN p.active_ms ELSE 0 END DESC, p.id DESC
