-- What is unread in all: the user's newest ?3 conversations that are not archived. Unread and mentions as
-- in inbox/page, at the moment ?2. ?4: entries looked through of each, and ?5 of all, the newest
-- conversations first; ?6: blocks below them, ?7: mentions counted. Muted ones count for mentions only.
WITH mine AS MATERIALIZED (
    SELECT
        w.*,
        CASE WHEN w.muted THEN 0 ELSE min(w.head_seq - w.seen_seq, ?4) END AS wanted
    FROM (
        SELECT
            c.id,
            c.number,
            c.head_seq,
            c.active_ms,
            min(max(coalesce(i.read_seq, 0), m.joined_seq), c.head_seq) AS seen_seq,
            coalesce(i.marked_unread, 0) AS marked,
            coalesce(i.muted_until_ms, 0) > ?2 AS muted
        FROM members AS m
        CROSS JOIN conversations AS c ON c.id = m.conversation_id
        LEFT JOIN inbox AS i ON i.conversation_id = m.conversation_id AND i.user_id = m.user_id
        WHERE m.user_id = ?1 AND m.left_seq IS NULL AND coalesce(i.archived, 0) = 0
        ORDER BY c.active_ms DESC, c.id DESC
        LIMIT ?3
    ) AS w
    WHERE w.head_seq > w.seen_seq OR w.marked
),

looked AS MATERIALIZED (
    SELECT
        mine.*,
        mine.head_seq - max(min(?5 - sum(mine.wanted) OVER (
            ORDER BY mine.active_ms DESC, mine.id DESC
        ) + mine.wanted, mine.wanted), 0) AS floor_seq
    FROM mine
),

counted AS MATERIALIZED (
    SELECT
        looked.marked,
        looked.muted,
        looked.number - coalesce((
            SELECT r.number FROM messages AS r
            WHERE r.conversation_id = looked.id AND r.seq = looked.seen_seq
        ), 0) - (
            SELECT count(*) FROM messages AS o
            WHERE
                o.conversation_id = looked.id AND o.seq > looked.floor_seq
                AND o.kind = 1
                AND (o.sender = ?1 OR o.body_gone = 1 OR coalesce(o.expires_ms <= ?2, 0))
        ) - (
            SELECT count(*) FROM messages AS g INDEXED BY messages_gone
            WHERE
                g.conversation_id = looked.id AND g.seq > looked.seen_seq
                AND g.seq <= min(looked.floor_seq, (looked.seen_seq / 1024 + 1) * 1024 - 1)
                AND g.kind = 1 AND g.body_gone = 1
        ) - (
            SELECT coalesce(sum(b.gone), 0)
            FROM (
                SELECT t.gone FROM gone_blocks AS t
                WHERE
                    t.conversation_id = looked.id AND t.block > looked.seen_seq / 1024
                    AND t.block < (looked.floor_seq + 1) / 1024
                ORDER BY t.block DESC
                LIMIT ?6
            ) AS b
        ) - (
            SELECT count(*) FROM messages AS u INDEXED BY messages_gone
            WHERE
                u.conversation_id = looked.id AND u.seq <= looked.floor_seq
                AND u.seq
                >= max(looked.seen_seq / 1024 + 1, (looked.floor_seq + 1) / 1024) * 1024
                AND u.kind = 1 AND u.body_gone = 1
        ) AS unread,
        (
            SELECT count(*)
            FROM (
                SELECT n.seq FROM mentions AS n
                WHERE n.conversation_id = looked.id AND n.user_id = ?1 AND n.seq > looked.seen_seq
                ORDER BY n.seq DESC
                LIMIT ?7
            ) AS named
            CROSS JOIN messages AS q
                ON q.conversation_id = looked.id AND q.seq = named.seq AND q.body_gone = 0
                AND (q.expires_ms IS NULL OR q.expires_ms > ?2)
        ) AS mentions
    FROM looked
)

SELECT
    coalesce(sum(CASE WHEN muted THEN 0 ELSE max(unread, 0) END), 0) AS "unread!: i64",
    coalesce(sum(mentions), 0) AS "mentions!: i64",
    count(*) FILTER (WHERE NOT muted AND (unread > 0 OR marked)) AS "conversations!: i64"
FROM counted
