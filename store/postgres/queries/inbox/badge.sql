-- What is unread in all: the user's newest $3 conversations that are not archived. Unread and mentions as
-- in inbox/page, at the moment $2. $4: entries looked through of each, and $5 of all, the newest
-- conversations first; $6: blocks below them, $7: mentions counted. Muted ones count for mentions only.
SELECT
    coalesce(sum(greatest(c.unread, 0)) FILTER (WHERE NOT c.muted), 0)::bigint AS "unread!",
    coalesce(sum(c.mentions), 0)::bigint AS "mentions!",
    count(*) FILTER (WHERE NOT c.muted AND (c.unread > 0 OR c.marked)) AS "conversations!"
FROM (
    SELECT
        p.marked,
        p.muted,
        p.number - coalesce(
            (
                SELECT r.number FROM messages AS r
                WHERE r.conversation_id = p.id AND r.seq = p.seen_seq
            ),
            0
        ) - (
            SELECT
                count(*) FILTER (
                    WHERE o.kind = 1 AND (o.sender = $1 OR o.body_gone OR o.expires_ms <= $2)
                )
            FROM (
                SELECT x.kind, x.sender, x.body_gone, x.expires_ms FROM messages AS x
                WHERE x.conversation_id = p.id AND x.seq > p.seen_seq
                ORDER BY x.seq DESC
                LIMIT p.looked
            ) AS o
        ) - (
            SELECT count(*) FROM messages AS g
            WHERE
                g.conversation_id = p.id AND g.seq > p.seen_seq
                AND g.seq <= least(p.floor_seq, (p.seen_seq / 1024 + 1) * 1024 - 1)
                AND g.kind = 1 AND g.body_gone
        ) - (
            SELECT coalesce(sum(b.gone), 0)::bigint
            FROM (
                SELECT t.gone FROM gone_blocks AS t
                WHERE
                    t.conversation_id = p.id AND t.block > p.seen_seq / 1024
                    AND t.block < (p.floor_seq + 1) / 1024
                ORDER BY t.block DESC
                LIMIT $6
            ) AS b
        ) - (
            SELECT count(*) FROM messages AS u
            WHERE
                u.conversation_id = p.id AND u.seq <= p.floor_seq
                AND u.seq >= greatest(p.seen_seq / 1024 + 1, (p.floor_seq + 1) / 1024) * 1024
                AND u.kind = 1 AND u.body_gone
        ) AS unread,
        (
            SELECT count(*)
            FROM (
                SELECT n.seq FROM mentions AS n
                WHERE n.conversation_id = p.id AND n.user_id = $1 AND n.seq > p.seen_seq
                ORDER BY n.seq DESC
                LIMIT $7
            ) AS named
            CROSS JOIN LATERAL (
                SELECT FROM messages AS x
                WHERE
                    x.conversation_id = p.id AND x.seq = named.seq AND NOT x.body_gone
                    AND (x.expires_ms IS NULL OR x.expires_ms > $2)
                LIMIT 1
            ) AS q
        ) AS mentions
    FROM (
        SELECT
            l.*,
            l.head_seq - l.looked AS floor_seq
        FROM (
            SELECT
                w.*,
                greatest(least(
                    $5::bigint + w.wanted
                    - (sum(w.wanted) OVER (ORDER BY w.active_ms DESC, w.id DESC))::bigint,
                    w.wanted
                ), 0) AS looked
            FROM (
                SELECT
                    n.*,
                    CASE WHEN n.muted THEN 0 ELSE least(n.head_seq - n.seen_seq, $4) END AS wanted
                FROM (
                    SELECT
                        h.id,
                        h.number,
                        h.head_seq,
                        h.active_ms,
                        least(greatest(i.read_seq, m.joined_seq), h.head_seq) AS seen_seq,
                        coalesce(i.marked_unread, false) AS marked,
                        coalesce(i.muted_until_ms > $2, false) AS muted
                    FROM members AS m
                    INNER JOIN conversations AS h ON h.id = m.conversation_id
                    LEFT JOIN inbox AS i
                        ON i.conversation_id = m.conversation_id AND i.user_id = $1
                    WHERE
                        m.user_id = $1 AND m.left_seq IS NULL AND NOT coalesce(i.archived, false)
                    ORDER BY h.active_ms DESC, h.id DESC
                    LIMIT $3
                ) AS n
                WHERE n.head_seq > n.seen_seq OR n.marked
            ) AS w
        ) AS l
    ) AS p
) AS c
