-- What is unread in all: the user's newest $3 conversations that are not archived. Unread and mentions as
-- in inbox/page, at the moment $2; $4: entries looked through, $5: what is gone below them, $6: mentions
-- counted. Muted ones count for mentions only.
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
                LIMIT $4
            ) AS o
        ) - (
            SELECT count(*)
            FROM (
                SELECT FROM messages AS g
                WHERE
                    g.conversation_id = p.id AND g.seq > p.seen_seq AND g.seq <= p.head_seq - $4
                    AND g.kind = 1 AND g.body_gone
                LIMIT $5
            ) AS gone
        ) AS unread,
        (
            SELECT count(*)
            FROM (
                SELECT n.seq FROM mentions AS n
                WHERE n.conversation_id = p.id AND n.user_id = $1 AND n.seq > p.seen_seq
                ORDER BY n.seq DESC
                LIMIT $6
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
            h.id,
            h.number,
            h.head_seq,
            least(greatest(i.read_seq, m.joined_seq), h.head_seq) AS seen_seq,
            coalesce(i.marked_unread, false) AS marked,
            coalesce(i.muted_until_ms > $2, false) AS muted
        FROM members AS m
        INNER JOIN conversations AS h ON h.id = m.conversation_id
        LEFT JOIN inbox AS i ON i.conversation_id = m.conversation_id AND i.user_id = $1
        WHERE m.user_id = $1 AND m.left_seq IS NULL AND NOT coalesce(i.archived, false)
        ORDER BY h.active_ms DESC
        LIMIT $3
    ) AS p
    WHERE p.head_seq > p.seen_seq OR p.marked
) AS c
